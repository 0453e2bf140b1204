//! The agents that are checked, as they were found. Several checks need them.

use futures::future::join_all;
use serde_json::Value;

use super::check::{Check, agent_label};
use super::finding::Finding;
use crate::agent::group::Group;
use crate::agent::state::Deployment;
use crate::agent::{Spec, routing, state};
use crate::cluster::Cluster;
use crate::commands::agent_checks::{cache_key, is_ours};
use crate::inputs::{Deploy, Plan};

/// An agent that is checked.
pub struct Agent {
    /// Its architecture if there are several agents, otherwise empty.
    pub label: String,
    pub spec: Spec,
    pub group: Group,
    /// `None` if its Deployment does not exist.
    pub found: Result<Option<FoundAgent>, Finding>,
}

/// An existing agent.
pub struct FoundAgent {
    pub deployment: Deployment,
    /// The Deployment as the API server sent it.
    pub raw: Value,
    pub is_ready: bool,
}

impl Agent {
    /// Returns the name of its row of this check.
    pub fn row_name(&self, check: &Check) -> String {
        check.row_name(&self.label)
    }

    pub fn is_ready(&self) -> bool {
        matches!(&self.found, Ok(Some(existing)) if existing.is_ready)
    }

    pub fn has_volume(&self) -> bool {
        matches!(&self.found, Ok(Some(existing)) if state::has_volume(&existing.deployment))
    }
}

/// Looks for the agents. An error is reported in the row of its agent.
pub async fn find_all(plan: &Plan, cluster: &Cluster) -> Vec<Agent> {
    let selected = selected(plan);
    let number = selected.len();
    let agents = selected.into_iter().map(|(group, spec)| async move {
        Agent {
            label: agent_label(&group, number),
            found: find(cluster, &spec).await.map_err(Into::into),
            spec,
            group,
        }
    });
    join_all(agents).await
}

async fn find(cluster: &Cluster, spec: &Spec) -> anyhow::Result<Option<FoundAgent>> {
    let Some((deployment, raw)) = cluster.get_deployment_raw(&spec.name).await? else {
        return Ok(None);
    };
    let pods = cluster.pods(&spec.name).await?;
    Ok(Some(FoundAgent {
        is_ready: state::ready_pod(&pods).is_some(),
        deployment,
        raw,
    }))
}

/// Returns the agents to check: for each architecture the preferred one of the cache key. The others have the same inputs
/// and are preferred by other keys.
pub fn selected(plan: &Plan) -> Vec<(Group, Spec)> {
    let key = cache_key(plan);
    let first = |group: Group| {
        let order = routing::order(&key, group.agents.clone(), |spec: &Spec| &spec.name);
        Some((group, order.into_iter().next()?))
    };
    plan.agents.groups().into_iter().filter_map(first).collect()
}

/// Returns whether connect would deploy or update one of these agents, or may do so because one cannot be read.
pub fn would_deploy(deploy: Deploy, agents: &[Agent]) -> bool {
    agents.iter().any(|agent| match &agent.found {
        Ok(None) => deploy != Deploy::Never,
        Ok(Some(existing)) => deploy == Deploy::Always && is_ours(&agent.spec, &existing.deployment),
        Err(_) => deploy != Deploy::Never,
    })
}

/// Whether the StorageClass must provide a new volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewVolume {
    /// An agent will be deployed, or waits for its volume.
    Needed,
    /// No agent is known to need a new volume.
    NotNeeded,
}

impl NewVolume {
    /// Returns what these agents need.
    pub fn new(deploy: Deploy, agents: &[Agent]) -> Self {
        let needs_volume = |agent: &Agent| match &agent.found {
            Ok(None) => deploy != Deploy::Never,
            Ok(Some(existing)) => !existing.is_ready,
            Err(_) => false,
        };
        if agents.iter().any(needs_volume) {
            Self::Needed
        } else {
            Self::NotNeeded
        }
    }

    /// Returns the finding with a failure as a warning if no new volume is needed.
    pub fn downgrade_unneeded(self, finding: Finding) -> Finding {
        match self {
            Self::Needed => finding,
            Self::NotNeeded => finding.downgrade_failure(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::manifests::Objects;

    fn agent(found: Option<serde_json::Value>) -> Agent {
        let deployment = |raw: Value| FoundAgent {
            deployment: serde_json::from_value(raw.clone()).expect("a Deployment"),
            raw,
            is_ready: true,
        };
        let spec = Spec::example();
        Agent {
            label: String::new(),
            group: Group {
                platforms: vec![],
                agents: vec![spec.clone()],
            },
            spec,
            found: Ok(found.map(deployment)),
        }
    }

    #[test]
    fn connect_deploys_a_missing_agent_and_updates_only_its_own() {
        let template = serde_json::json!({"selector": {}, "template": {}});
        let spec = Spec::example();
        let objects = Objects::new(&spec, spec.storage_bytes).expect("objects");
        let ours = serde_json::to_value(objects.deployment).expect("JSON");
        let other = serde_json::json!({"metadata": {"name": "agent"}, "spec": template});
        for (found, [never, if_absent, always]) in [
            (None, [false, true, true]),
            (Some(ours), [false, false, true]),
            (Some(other), [false, false, false]),
        ] {
            let agents = [agent(found)];
            let deploys = |deploy| would_deploy(deploy, &agents);
            assert_eq!(deploys(Deploy::Never), never);
            assert_eq!(deploys(Deploy::IfAbsent), if_absent);
            assert_eq!(deploys(Deploy::Always), always);
        }
    }
}
