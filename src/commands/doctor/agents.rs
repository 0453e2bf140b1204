//! Checks the agents that build for this job.

use std::time::Duration;

use futures::future::join_all;
use serde_json::Value;

use super::{Doctor, plan};
use crate::agent::group::Group;
use crate::agent::manifests::Objects;
use crate::agent::state::Deployment;
use crate::agent::{Spec, changes, state};
use crate::cluster::{Cluster, DaemonStatus, Lookup};
use crate::commands::agent_checks;
use crate::diagnosis::agent::{self as evaluate, Drift};
use crate::diagnosis::{Finding, storage::VolumeNeed, versions};
use crate::inputs::Deploy;

/// An agent, as it was found.
pub(super) struct Agent {
    label: String,
    pub(super) spec: Spec,
    pub(super) group: Group,
    /// The Deployment and its pods; `None` if it does not exist.
    found: Result<Option<FoundAgent>, Finding>,
}

/// An existing agent.
struct FoundAgent {
    deployment: Deployment,
    whole: Value,
    ready: bool,
}

impl Agent {
    pub(super) fn check(&self, name: &str) -> String {
        plan::of_agent(name, &self.label)
    }

    /// Returns the names of all its checks, in their order.
    pub(super) fn checks(&self) -> Vec<String> {
        let names = [
            plan::AGENT,
            plan::VOLUME,
            plan::BUILDKIT,
            plan::DISK,
            plan::EXEC,
            plan::BUILD,
            plan::CACHE,
        ];
        names.map(|name| self.check(name)).into()
    }

    fn is_ready(&self) -> bool {
        matches!(&self.found, Ok(Some(existing)) if existing.ready)
    }
}

impl Doctor {
    /// Looks for the agents. An error is reported in the row of its agent.
    pub(super) async fn agents(&self, cluster: &Cluster) -> Vec<Agent> {
        let chosen = plan::chosen(&self.plan);
        let number = chosen.len();
        let agents = chosen.into_iter().map(|(group, spec)| async move {
            Agent {
                label: plan::label(&group, number),
                found: find(cluster, &spec).await.map_err(Into::into),
                spec,
                group,
            }
        });
        join_all(agents).await
    }

    /// Returns whether the StorageClass must provide a new volume.
    pub(super) fn need(&self, agents: &[Agent]) -> VolumeNeed {
        let deploys = self.plan.deploy != Deploy::Never;
        let needs_volume = |agent: &Agent| match &agent.found {
            Ok(None) => deploys,
            Ok(Some(existing)) => !existing.ready,
            Err(_) => false,
        };
        if agents.iter().any(needs_volume) {
            VolumeNeed::New
        } else {
            VolumeNeed::Has
        }
    }

    /// Checks one agent. Returns whether it can build.
    pub(super) async fn agent(&self, cluster: &Cluster, agent: &Agent) -> bool {
        let name = agent.check(plan::AGENT);
        match &agent.found {
            Err(finding) => {
                self.checks.record(&name, finding.clone());
                return false;
            }
            Ok(None) => {
                self.checks.run(&name, self.missing(cluster, agent)).await;
                let volume = self.volume_left(cluster, agent);
                self.checks.run(&agent.check(plan::VOLUME), volume).await;
                return false;
            }
            Ok(Some(existing)) => {
                self.checks
                    .run(&name, self.existing(cluster, agent, existing))
                    .await;
                let volume = self.volume(cluster, agent, existing);
                self.checks.run(&agent.check(plan::VOLUME), volume).await;
            }
        }
        if !agent.is_ready() {
            return false;
        }
        let check = self.buildkit(cluster, agent);
        let Some(answer) = self.checks.run(&agent.check(plan::BUILDKIT), check).await else {
            return false;
        };
        let disk = match answer.disk {
            Some(usage) => evaluate::disk(usage),
            None => evaluate::disk_unknown(agent.has_volume()),
        };
        self.checks.record(&agent.check(plan::DISK), disk);
        if self.builds {
            let exec = self.exec(cluster, agent);
            return self.checks.run(&agent.check(plan::EXEC), exec).await.is_some();
        }
        true
    }

    /// Checks an agent that does not exist: whether the API server accepts a dry run of its deployment.
    async fn missing(&self, cluster: &Cluster, agent: &Agent) -> anyhow::Result<(Finding, ())> {
        let spec = &agent.spec;
        if self.plan.deploy == Deploy::Never {
            return Err(agent_checks::agent_not_found(cluster.server(), spec).into());
        }
        let missing = format!(
            "{}/{} does not exist; connect would deploy it",
            spec.namespace, spec.name
        );
        let finding = match cluster.dry_run_deploy(spec).await {
            Ok(()) => Finding::failed(
                format!("{missing}; the API server accepted a dry run"),
                "Run connect with these inputs.",
            ),
            Err(error) => {
                let refused = Finding::from(anyhow::Error::from(error));
                Finding::failed(format!("{missing}. {}", refused.found), refused.remedy)
            }
        };
        Ok((finding, ()))
    }

    /// Checks an existing agent: whether it is usable, ready and as the inputs describe it.
    async fn existing(
        &self,
        cluster: &Cluster,
        agent: &Agent,
        existing: &FoundAgent,
    ) -> anyhow::Result<(Finding, ())> {
        let spec = &agent.spec;
        if let Err(why) = state::check_usable(&existing.deployment) {
            return Err(agent_checks::agent_unusable(spec, &why.to_string()).into());
        }
        if existing.ready {
            let differs = self.differs(cluster, spec, existing).await?;
            return Ok((evaluate::serving(spec, &existing.deployment, &differs), ()));
        }
        let name = format!("{}/{}", spec.namespace, spec.name);
        let Some(status) = cluster.startup_status(&spec.name, STARTUP_STATUS).await? else {
            return Ok((
                Finding::failed(format!("{name} has just become ready"), "Run doctor again."),
                (),
            ));
        };
        let waits = format!(
            "the next step is: {}. Latest events: {}",
            status.step, status.latest_events
        );
        let finding = match status.failure {
            Some(failure) => Finding::failed(failure.what, failure.remedy),
            None => Finding::failed(
                format!("{name} is not ready; {waits}"),
                format!(
                    "Run kubectl -n {} describe pod -l app={}. connect waits for the agent, up to `timeout`.",
                    spec.namespace, spec.name
                ),
            ),
        };
        Ok((finding, ()))
    }

    /// Returns how the agent differs from the inputs, and whether connect would change that.
    async fn differs(&self, cluster: &Cluster, spec: &Spec, existing: &FoundAgent) -> anyhow::Result<Drift> {
        if !agent_checks::is_ours(spec, &existing.deployment) {
            return Ok(Drift::NotOurs);
        }
        if self.plan.deploy == Deploy::Always {
            let update = cluster.preview(spec, &existing.deployment).await?;
            return Ok(match update.diff.is_empty() {
                true => Drift::Nothing,
                false => Drift::Updated {
                    restarts: update.restarts,
                },
            });
        }
        let wanted = Objects::new(spec, spec.storage_bytes)?.deployment;
        let fields = changes::differing_fields(&wanted, &existing.whole);
        Ok(match fields.is_empty() {
            true => Drift::Nothing,
            false => Drift::Fields(fields),
        })
    }

    /// Checks the volume of an existing agent.
    async fn volume(
        &self,
        cluster: &Cluster,
        agent: &Agent,
        existing: &FoundAgent,
    ) -> anyhow::Result<(Finding, ())> {
        let name = state::claim_name(&existing.deployment);
        let seen = match name {
            Some(name) => cluster.claim(name).await?,
            None => Lookup::NotFound,
        };
        Ok((evaluate::volume(&agent.spec, existing.ready, name, &seen), ()))
    }

    /// Checks the volume that an earlier agent of this name left.
    async fn volume_left(&self, cluster: &Cluster, agent: &Agent) -> anyhow::Result<(Finding, ())> {
        let seen = cluster.claim(&agent.spec.name).await?;
        Ok((evaluate::volume_left(&agent.spec, &seen), ()))
    }

    /// Checks that BuildKit responds, its architecture and its version.
    async fn buildkit(&self, cluster: &Cluster, agent: &Agent) -> anyhow::Result<(Finding, DaemonStatus)> {
        let answer = cluster.probe(&agent.spec.name).await?;
        let answer = agent_checks::check_native_arch(&agent.spec, &agent.group, answer)?;
        let Finding {
            status,
            found,
            remedy,
        } = versions::buildkit(&answer.buildkit.version);
        let platforms = answer.buildkit.platforms.join(", ");
        let found = format!("{found}, in the pod {}: {platforms}", answer.pod);
        Ok((
            Finding {
                status,
                found,
                remedy,
            },
            answer,
        ))
    }

    /// Measures how long a command in the pod takes.
    async fn exec(&self, cluster: &Cluster, agent: &Agent) -> anyhow::Result<(Finding, ())> {
        let took = cluster.round_trips(&agent.spec.name, ROUND_TRIPS).await?;
        Ok((evaluate::round_trips(&took), ()))
    }
}

impl Agent {
    fn has_volume(&self) -> bool {
        matches!(&self.found, Ok(Some(existing)) if state::has_volume(&existing.deployment))
    }
}

async fn find(cluster: &Cluster, spec: &Spec) -> anyhow::Result<Option<FoundAgent>> {
    let Some((deployment, whole)) = cluster.get_deployment_raw(&spec.name).await? else {
        return Ok(None);
    };
    let pods = cluster.pods(&spec.name).await?;
    Ok(Some(FoundAgent {
        ready: state::ready_pod(&pods).is_some(),
        deployment,
        whole,
    }))
}

/// How long the watches may report the state of an agent.
const STARTUP_STATUS: Duration = Duration::from_secs(1);

/// How often the latency is measured.
const ROUND_TRIPS: usize = 5;
