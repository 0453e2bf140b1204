//! What a look at the road to an agent comes to: a row for each check, as text for people and as JSON for machines.
//! Pure: how anything is looked at is a matter of `commands::doctor`.

pub mod agent;
pub mod permissions;
pub mod storage;
mod table;
pub mod versions;

use std::time::Duration;

use serde::Serialize;

use crate::problem::Problem;

pub use table::{Table, json, skipped_row, verdict};

/// What becomes of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Ok,
    /// Builds work all the same.
    Warning,
    /// Builds do not.
    Failed,
    /// Not looked at, for want of something before it.
    Skipped,
}

/// What was found, and what to do about it unless it is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub state: CheckStatus,
    pub found: String,
    pub remedy: String,
}

impl Finding {
    pub fn ok(found: impl Into<String>) -> Self {
        Self {
            state: CheckStatus::Ok,
            found: found.into(),
            remedy: String::new(),
        }
    }

    pub fn warning(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state: CheckStatus::Warning,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    pub fn failed(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            state: CheckStatus::Failed,
            ..Self::warning(found, remedy)
        }
    }

    pub fn skipped(why: impl Into<String>) -> Self {
        Self {
            state: CheckStatus::Skipped,
            found: why.into(),
            remedy: String::new(),
        }
    }

    /// The same, of what builds do without.
    pub fn downgrade_failure(self) -> Self {
        match self.state {
            CheckStatus::Failed => Self {
                state: CheckStatus::Warning,
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
            Err(other) => Self::failed(
                format!("{other:#}"),
                "Run it again with --verbose, and report it if it persists.",
            ),
        }
    }
}

/// A row.
#[derive(Debug, Clone)]
pub struct Check {
    pub name: String,
    pub finding: Finding,
    /// How long the look took, if there was one.
    pub took: Option<Duration>,
}
