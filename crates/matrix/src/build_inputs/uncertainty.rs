//! The reasons why the inputs of a target cannot be determined.

use crate::dockerfile::DockerfileError;
use crate::repo_paths::ReadError;

/// The reason why a target is always built. Shown as a clause without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncertainty {
    #[error("its Dockerfile {0} is outside the repository")]
    DockerfileOutside(String),
    #[error("its Dockerfile {0} is not in the repository")]
    DockerfileMissing(String),
    #[error("cannot parse its Dockerfile: {0}")]
    DockerfileInvalid(DockerfileFault),
    #[error("its context {0} is outside the repository")]
    ContextOutside(String),
    #[error("it links to the target {0}, which does not exist")]
    LinkedTargetMissing(String),
    #[error("{0} is a symbolic link to outside the repository")]
    LinkOutside(String),
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// A source of COPY, ADD or a mount that an earlier step of the job must create.
    #[error("line {line} of its Dockerfile reads {source_path}, which is not in the repository")]
    SourceMissing { line: usize, source_path: String },
    /// Sources that match nothing.
    #[error("line {line} of its Dockerfile reads {sources}, which matches no file in the repository")]
    NoFileMatches { line: usize, sources: String },
}

/// A Dockerfile that cannot be parsed, with its path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{path}:{}: {}", error.line, error.kind)]
pub struct DockerfileFault {
    /// `dockerfile-inline` for one that the bake definition contains.
    pub path: String,
    pub error: DockerfileError,
}
