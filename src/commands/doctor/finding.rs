//! The result of a check.

use std::time::Duration;

use serde::Serialize;

use crate::problem::{Problem, REPORT_IT};

/// The status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Ok,
    /// Builds work, but something should be changed.
    Warning,
    /// Builds do not work.
    Failed,
    /// Not checked, because an earlier check failed: whether builds work is unknown.
    Skipped,
    /// Not checked, because builds do not depend on it.
    #[serde(rename = "skipped")]
    NotNeeded,
}

/// What a check found, and what to do about it unless its status is ok or skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub status: CheckStatus,
    pub found: String,
    pub remedy: String,
    /// Whether the failure ends as soon as connect has deployed the agent.
    pub ends_with_connect: bool,
}

impl Finding {
    pub fn ok(found: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Ok,
            found: found.into(),
            remedy: String::new(),
            ends_with_connect: false,
        }
    }

    pub fn warning(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Warning,
            found: found.into(),
            remedy: remedy.into(),
            ends_with_connect: false,
        }
    }

    pub fn failed(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Failed,
            ..Self::warning(found, remedy)
        }
    }

    pub fn skipped(why: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Skipped,
            ..Self::ok(why)
        }
    }

    pub fn not_needed(why: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::NotNeeded,
            ..Self::ok(why)
        }
    }

    /// Returns the finding with a failure as a warning, for a check that builds do not need.
    pub fn downgrade_failure(self) -> Self {
        match self.status {
            CheckStatus::Failed => Self {
                status: CheckStatus::Warning,
                ..self
            },
            _ => self,
        }
    }
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        Self::failed(problem.what, problem.remedy)
    }
}

impl From<anyhow::Error> for Finding {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Problem>() {
            Ok(problem) => problem.into(),
            Err(other) => Self::failed(format!("{other:#}"), REPORT_IT),
        }
    }
}

/// A check that has run, or was skipped, with its result: a row of the table.
#[derive(Debug, Clone)]
pub struct CheckResult {
    pub name: String,
    pub finding: Finding,
    /// How long the check took; `None` if it needed no request of its own.
    pub took: Option<Duration>,
}
