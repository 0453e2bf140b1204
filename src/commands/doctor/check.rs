//! What a check is: its name, the group that it belongs to, and when it is part of a run.

use crate::agent::group::Group;
use crate::inputs::{ClusterAccess, Plan};

/// A check. Most have one row in the table; see [`Check::subjects`].
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name in the table and in the JSON.
    pub name: &'static str,
    pub group: CheckGroup,
    /// Returns whether the check is part of a run of this scope.
    pub applies: fn(&Scope) -> bool,
    /// Returns what its rows are about if it has several, as in `rbac pods`.
    pub subjects: fn() -> Vec<&'static str>,
}

/// A group of related checks. When connect fails, the group that explains the failure is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckGroup {
    Runner,
    Aws,
    Access,
    Storage,
    Agent,
}

/// What the rows of a run depend on.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Whether this machine is checked and test builds run, which takes longer.
    pub full: bool,
    pub eks: bool,
    /// Whether the input `ecr` names registries.
    pub registries: bool,
    /// The labels of the agents: their architectures, or one empty text for a single agent.
    pub agents: Vec<String>,
}

/// A row of the table before its check has run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRow {
    pub name: String,
    pub group: CheckGroup,
}

impl Check {
    /// Returns a check that has one row and is part of each run.
    pub const fn new(name: &'static str, group: CheckGroup) -> Self {
        Self {
            name,
            group,
            applies: |_| true,
            subjects: Vec::new,
        }
    }

    /// Returns the name of a row: with its subject, or the architecture of its agent, unless that is empty.
    pub fn row_name(&self, subject: &str) -> String {
        match subject {
            "" => self.name.to_owned(),
            subject => format!("{} {subject}", self.name),
        }
    }

    fn row(&self, subject: &str) -> PlannedRow {
        PlannedRow {
            name: self.row_name(subject),
            group: self.group,
        }
    }
}

/// Returns the architecture of an agent if there are several agents, otherwise an empty text.
pub fn agent_label(group: &Group, agents: usize) -> String {
    match group.platforms.first() {
        Some(platform) if agents > 1 => platform.arch.clone(),
        _ => String::new(),
    }
}

impl Scope {
    /// Returns the scope for these inputs.
    pub fn new(plan: &Plan, full: bool) -> Self {
        let groups = plan.agents.groups();
        Self {
            full,
            eks: matches!(plan.cluster_access, ClusterAccess::Eks { .. }),
            registries: plan.registries.is_some(),
            agents: groups
                .iter()
                .map(|group| agent_label(group, groups.len()))
                .collect(),
        }
    }

    /// Returns the scope of one agent on EKS.
    #[cfg(test)]
    pub fn example() -> Self {
        Self {
            full: true,
            eks: true,
            registries: false,
            agents: vec![String::new()],
        }
    }

    /// Returns all rows of a run in their order: the rows of `checks`, and for each agent the rows of `agent_checks`.
    pub fn rows(&self, checks: &[Check], agent_checks: &[Check]) -> Vec<PlannedRow> {
        let once = checks.iter().filter(|check| (check.applies)(self));
        let once = once.flat_map(|check| match &(check.subjects)()[..] {
            [] => vec![check.row("")],
            subjects => subjects.iter().map(|subject| check.row(subject)).collect(),
        });
        let of_agents = self
            .agents
            .iter()
            .flat_map(|label| self.agent_rows(agent_checks, label));
        once.chain(of_agents).collect()
    }

    /// Returns the rows of one agent in their order.
    pub fn agent_rows(&self, agent_checks: &[Check], label: &str) -> Vec<PlannedRow> {
        let applying = agent_checks.iter().filter(|check| (check.applies)(self));
        applying.map(|check| check.row(label)).collect()
    }
}
