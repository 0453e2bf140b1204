//! A plan: the steps from what exists to what is needed.

use std::fmt;

use serde_json::Value;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Create,
    Change,
    Keep,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "+",
            Self::Change => "~",
            Self::Keep => "=",
        })
    }
}

/// A change in AWS or in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    CreateProvider,
    /// Adds GitHub's default audience to the identity provider.
    AddAudience,
    CreateRole,
    UpdateTrustPolicy,
    PutPermissions,
    ChangeAuthenticationMode,
    CreateEntry,
    /// Sets the groups of the access entry.
    UpdateEntry(Vec<String>),
    /// Applies a Kubernetes object.
    Apply(Value),
    /// Deploys the agent of this name.
    DeployAgent(String),
}

/// One line of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub mark: Mark,
    /// The resource, such as `IAM role ci`.
    pub what: String,
    /// Lines that explain the change.
    pub details: Vec<String>,
    pub action: Option<Action>,
}

impl Step {
    pub fn create(what: impl Into<String>, action: Action) -> Self {
        Self {
            mark: Mark::Create,
            what: what.into(),
            details: vec![],
            action: Some(action),
        }
    }

    pub fn change(what: impl Into<String>, action: Action) -> Self {
        Self {
            mark: Mark::Change,
            ..Self::create(what, action)
        }
    }

    pub fn keep(what: impl Into<String>) -> Self {
        Self {
            mark: Mark::Keep,
            what: what.into(),
            details: vec![],
            action: None,
        }
    }

    #[must_use]
    pub fn with_details(self, details: impl IntoIterator<Item = String>) -> Self {
        Self {
            details: details.into_iter().collect(),
            ..self
        }
    }

    /// Returns the lines of the step in the plan.
    pub fn lines(&self) -> Vec<String> {
        let first = format!("{} {}", self.mark, self.what);
        let details = self.details.iter().map(|line| format!("    {line}"));
        std::iter::once(first).chain(details).collect()
    }
}

/// Something exists that `setup` must not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// A sentence: what exists.
    pub what: String,
    /// A sentence: what to do.
    pub remedy: String,
}
