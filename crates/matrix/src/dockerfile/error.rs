//! Errors of parsing and evaluating a Dockerfile.

use super::unresolved::UNRESOLVED;

/// An error in a Dockerfile, with its line: either BuildKit rejects the Dockerfile too, or this parser does not support it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct DockerfileError {
    /// The line of the instruction, from 1.
    pub line: usize,
    pub kind: DockerfileErrorKind,
}

impl DockerfileError {
    pub(super) fn new(line: usize, kind: DockerfileErrorKind) -> DockerfileError {
        DockerfileError { line, kind }
    }
}

impl DockerfileErrorKind {
    /// Adds the line.
    pub(super) fn at(line: usize) -> impl Fn(DockerfileErrorKind) -> DockerfileError {
        move |kind| DockerfileError { line, kind }
    }
}

/// What is wrong with an instruction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum DockerfileErrorKind {
    // The file.
    #[error("the Dockerfile has no instructions")]
    Empty,
    #[error("the Dockerfile has no FROM")]
    NoFrom,
    #[error("no FROM before this instruction")]
    BeforeFrom,
    #[error("invalid escape character: {0}")]
    InvalidEscape(String),
    #[error("duplicate directive: {0}")]
    DuplicateDirective(String),
    #[error("unterminated here-document: {0}")]
    UnterminatedHeredoc(String),

    // Instructions and their flags.
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    #[error("--{0} needs a value")]
    FlagWithoutValue(String),
    #[error("--{0} is given more than once")]
    DuplicateFlag(String),
    #[error("--{name} must be true or false, not {value}")]
    InvalidSwitch { name: String, value: String },
    #[error("{instruction} needs {needs}")]
    MissingArgument {
        instruction: &'static str,
        needs: &'static str,
    },
    #[error("ENV needs name=value, not {0}")]
    InvalidEnv(String),
    #[error("invalid stage name: {0}")]
    InvalidStageName(String),
    #[error("a JSON array may contain only strings")]
    InvalidArray,
    #[error("unterminated quote in --mount")]
    UnterminatedMountQuote,
    #[error("text after a quoted field in --mount")]
    TextAfterMountQuote,
    #[error("unsupported mount type: {}", readable(.0))]
    UnsupportedMountType(String),

    // References to stages.
    #[error("{0} expands to an empty image name")]
    EmptyBase(String),
    #[error("there is no stage {0}")]
    UnknownStage(String),
    #[error("there is no stage {0} before this one")]
    StageNotBefore(String),
    #[error("`from` cannot contain variables: {0}")]
    VariableInFrom(String),
    #[error("from of a mount cannot contain variables")]
    VariableInMountFrom,

    // Words and variables.
    #[error("missing {0}")]
    MissingCharacter(char),
    #[error("unterminated single quote")]
    UnterminatedSingleQuote,
    #[error("unterminated double quote")]
    UnterminatedDoubleQuote,
    #[error("bad substitution")]
    BadSubstitution,
    #[error("substitutions are nested too deeply")]
    SubstitutionTooDeep,
    #[error("the variables expand to more than 1 MiB")]
    SubstitutionTooLong,
    #[error("unsupported modifier in a substitution: {0}")]
    UnsupportedModifier(char),
    #[error("invalid pattern in a substitution: {}", readable(.0))]
    InvalidPattern(String),
    #[error("variable {0} is not set")]
    VariableNotSet(String),
    #[error("{name}: {}", readable(.message))]
    VariableRequired { name: String, message: String },
}

/// Replaces unresolved values in a text that people read.
fn readable(text: &str) -> String {
    text.replace(UNRESOLVED, "…")
}
