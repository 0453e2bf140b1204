//! Parses an instruction (BuildKit's parser/split_command.go, parser/line_parsers.go and instructions/parse.go), as far as
//! it affects what a build reads.

mod flags;
mod words;

use serde_json::Value;

use super::error::{DockerfileError, DockerfileErrorKind};
use super::heredoc;
use super::mount;
use flags::Flags;

/// An instruction with its continued lines joined.
#[derive(Debug)]
pub struct LogicalLine {
    /// The number of its first line, from 1.
    pub number: usize,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instruction {
    From {
        base: String,
        name: Option<String>,
    },
    /// Names with their default values.
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Copy(CopyInstruction),
    /// The mounts of a RUN.
    Run(Vec<mount::RunMount>),
    Onbuild(Box<Instruction>),
    /// An instruction that reads no files and sets no variables.
    Other,
}

/// COPY or ADD. The values may contain variables, except `from` and `excludes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyInstruction {
    /// Whether it is ADD, which also accepts URLs.
    pub is_add: bool,
    /// A stage, a named context or an image; "" for the build's main context.
    pub from: String,
    pub parents: bool,
    pub excludes: Vec<String>,
    /// The sources, without here-documents.
    pub sources: Vec<String>,
}

/// A line, split into its keyword, its flags and the rest.
struct SplitLine {
    keyword: String,
    flags: Flags,
    rest: String,
}

impl SplitLine {
    fn new(text: &str, escape: char) -> SplitLine {
        let text = text.trim();
        let (keyword, rest) = text.split_once(words::is_space).unwrap_or((text, ""));
        let (flags, rest) = Flags::split(rest.trim_start_matches(words::is_space), escape);
        SplitLine {
            keyword: keyword.to_ascii_lowercase(),
            flags,
            rest: rest.trim().to_owned(),
        }
    }
}

/// Parses the instruction of a logical line.
pub fn parse(line: &LogicalLine, escape: char) -> Result<Instruction, DockerfileError> {
    parse_text(&line.text, escape).map_err(DockerfileErrorKind::at(line.number))
}

fn parse_text(text: &str, escape: char) -> Result<Instruction, DockerfileErrorKind> {
    let SplitLine {
        keyword,
        mut flags,
        rest,
    } = SplitLine::new(text, escape);
    let instruction = match keyword.as_str() {
        "from" => {
            flags.one("platform")?;
            from(&rest)?
        }
        "arg" => Instruction::Arg(arguments(&rest, escape)?),
        "env" => Instruction::Env(pairs(&rest, escape)?),
        "copy" | "add" => Instruction::Copy(copy(&mut flags, &rest, keyword == "add")?),
        "run" => {
            let mounts = flags.all("mount")?;
            for name in ["network", "security"] {
                flags.one(name)?;
            }
            flags.all("device")?;
            json_words(&rest)?;
            Instruction::Run(
                mounts
                    .iter()
                    .map(|mount| mount::parse(mount))
                    .collect::<Result<_, _>>()?,
            )
        }
        "onbuild" => {
            let inner = SplitLine::new(&rest, escape);
            if matches!(inner.keyword.as_str(), "" | "onbuild" | "from" | "maintainer") {
                return Err(missing("ONBUILD", "another instruction"));
            }
            Instruction::Onbuild(Box::new(parse_text(&rest, escape)?))
        }
        "cmd" | "entrypoint" | "expose" | "healthcheck" | "label" | "maintainer" | "shell" | "stopsignal"
        | "user" | "volume" | "workdir" => return Ok(Instruction::Other),
        _ => {
            let written = &text.trim()[..keyword.len()];
            return Err(DockerfileErrorKind::UnknownInstruction(written.to_owned()));
        }
    };
    flags.finish()?;
    Ok(instruction)
}

/// Returns whether here-documents may follow the line.
pub fn may_have_heredocs(text: &str, escape: char) -> bool {
    let mut split = SplitLine::new(text, escape);
    if split.keyword == "onbuild" {
        split = SplitLine::new(&split.rest, escape);
    }
    matches!(split.keyword.as_str(), "add" | "copy" | "run")
        && !matches!(json_words(&split.rest), Ok(Some(_)))
}

/// Parses a JSON array of words; `None` if the text is not a JSON array.
fn json_words(rest: &str) -> Result<Option<Vec<String>>, DockerfileErrorKind> {
    if !rest.starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<Value>>(rest) else {
        return Ok(None);
    };
    let word = |value| match value {
        Value::String(word) => Ok(word),
        _ => Err(DockerfileErrorKind::InvalidArray),
    };
    values.into_iter().map(word).collect::<Result<_, _>>().map(Some)
}

fn missing(instruction: &'static str, needs: &'static str) -> DockerfileErrorKind {
    DockerfileErrorKind::MissingArgument { instruction, needs }
}

fn from(rest: &str) -> Result<Instruction, DockerfileErrorKind> {
    let words: Vec<&str> = words::by_spaces(rest).collect();
    match words.as_slice() {
        [base] => Ok(Instruction::From {
            base: (*base).into(),
            name: None,
        }),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            let lower = name.to_lowercase();
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            if !lower.starts_with(|c: char| c.is_ascii_lowercase()) || !lower.chars().all(fits) {
                return Err(DockerfileErrorKind::InvalidStageName((*name).to_owned()));
            }
            Ok(Instruction::From {
                base: (*base).into(),
                name: Some(lower),
            })
        }
        _ => Err(missing("FROM", "an image, or an image, AS and a name")),
    }
}

fn arguments(rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>, DockerfileErrorKind> {
    let argument = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(missing("ARG", "a name before =")),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word, None)),
    };
    let arguments: Vec<_> = words::quoted(rest, escape)
        .into_iter()
        .map(argument)
        .collect::<Result<_, _>>()?;
    if arguments.is_empty() {
        Err(missing("ARG", "a name"))
    } else {
        Ok(arguments)
    }
}

/// Parses `name=value …`, or the older form `name value`.
fn pairs(rest: &str, escape: char) -> Result<Vec<(String, String)>, DockerfileErrorKind> {
    let words = words::quoted(rest, escape);
    let Some(first) = words.first() else {
        return Err(missing("ENV", "a name and a value"));
    };
    if !first.contains('=') {
        let (name, value) = rest
            .split_once(words::is_space)
            .ok_or(missing("ENV", "a name and a value"))?;
        return Ok(vec![(
            name.to_owned(),
            value.trim_start_matches(words::is_space).to_owned(),
        )]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(missing("ENV", "a name before =")),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(DockerfileErrorKind::InvalidEnv(word.clone())),
    };
    words.iter().map(pair).collect()
}

fn copy(flags: &mut Flags, rest: &str, is_add: bool) -> Result<CopyInstruction, DockerfileErrorKind> {
    let keyword = if is_add { "ADD" } else { "COPY" };
    let mut copy = CopyInstruction {
        is_add,
        excludes: flags.all("exclude")?,
        ..CopyInstruction::default()
    };
    let ignored: &[&str] = if is_add {
        &["chown", "chmod", "checksum"]
    } else {
        &["chown", "chmod"]
    };
    for name in ignored {
        flags.one(name)?;
    }
    flags.switch("link")?;
    if is_add {
        flags.switch("keep-git-dir")?;
        flags.switch("unpack")?;
    } else {
        copy.from = flags.one("from")?.unwrap_or_default();
        copy.parents = flags.switch("parents")?;
    }
    let mut words = match json_words(rest)? {
        Some(words) => words,
        None => words::by_spaces(rest).map(str::to_owned).collect(),
    };
    let destination = words.pop();
    if words.is_empty() || destination.is_none_or(|word| heredoc::is_heredoc(&word)) {
        return Err(missing(keyword, "a source and a destination"));
    }
    words.retain(|word| !heredoc::is_heredoc(word));
    copy.sources = words;
    Ok(copy)
}
