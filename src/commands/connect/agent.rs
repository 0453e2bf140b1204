//! Makes one agent ready: finds or deploys it, waits for it, and checks that its BuildKit responds.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Job, update};
use crate::agent::manifests::Objects;
use crate::agent::state::Deployment;
use crate::agent::{Spec, changes, state};
use crate::cluster::{AgentGone, DaemonStatus};
use crate::commands::agent_checks::{agent_not_found, agent_unusable, is_ours};
use crate::error_code::ErrorCode;
use crate::inputs::Deploy;
use crate::problem::Problem;
use crate::report::Report;

/// The agent's answer, or why this agent is unavailable and another one may be tried. A failure that affects all agents
/// is an error instead.
pub(super) type Ready = Result<DaemonStatus, Problem>;

/// Makes the preferred agent ready: deploys or updates it as `deploy` says, and returns when its BuildKit responds.
pub(super) async fn ensure_ready(job: &Job, spec: &Spec) -> anyhow::Result<Ready> {
    let Job { cluster, report, .. } = job;
    let Spec { name, namespace, .. } = spec;
    let Some((deployment, raw)) = cluster.get_deployment_raw(name).await? else {
        if job.plan.deploy == Deploy::Never {
            return Ok(Err(agent_not_found(job.cluster.server(), spec)));
        }
        if let Err(error) = cluster.deploy(spec).await {
            return unavailable(error);
        }
        report.done(&format!("Agent {namespace}/{name} did not exist; deployed it"));
        return wait_and_probe(job, spec, preferred_deadline(job))
            .await
            .map(Ok)
            .or_else(unavailable);
    };
    if let Err(problem) = check_usable(job, spec, &deployment) {
        return Ok(Err(problem));
    }
    let mut matches_inputs = false;
    if is_ours(spec, &deployment) {
        if job.plan.deploy == Deploy::Always {
            update::update(job, spec, &deployment).await?;
        } else {
            matches_inputs = log_differences(job, spec, &raw)?;
        }
    }
    let repairs = matches_inputs && job.plan.deploy == Deploy::IfAbsent;
    let repair = async {
        if repairs {
            repair_config_map(job, spec, &deployment).await;
        }
    };
    let (answered, ()) =
        futures::future::join(wait_and_probe(job, spec, preferred_deadline(job)), repair).await;
    answered
        .map(Ok)
        .or_else(|error| unavailable(explain_inputs_not_applied(error, job.plan.deploy)))
}

/// Waits for an existing agent that is not the preferred one, and leaves it unchanged. There is not enough time left to
/// deploy one.
pub(super) async fn use_existing(job: &Job, spec: &Spec) -> anyhow::Result<Ready> {
    let Some(deployment) = job.cluster.deployment(&spec.name).await? else {
        return Ok(Err(agent_not_found(job.cluster.server(), spec)));
    };
    if let Err(problem) = check_usable(job, spec, &deployment) {
        return Ok(Err(problem));
    }
    let answered = wait_and_probe(job, spec, job.deadline).await;
    answered.map(Ok).or_else(unavailable)
}

/// Returns until when to wait for the preferred of several agents. This leaves enough time before the deadline for an
/// agent that is ready to respond.
fn preferred_deadline(job: &Job) -> Instant {
    if job.plan.agents.number == 1 {
        return job.deadline;
    }
    job.deadline - FALLBACK_TIME.min(job.plan.timeout / 2)
}

/// The time that is left for another agent when the preferred one does not become ready.
const FALLBACK_TIME: Duration = Duration::from_secs(10);

/// Logs the agent that was found, or returns why buildx cannot use it.
fn check_usable(job: &Job, spec: &Spec, deployment: &Deployment) -> Result<(), Problem> {
    state::check_usable(deployment).map_err(|why| agent_unusable(spec, &why.to_string()))?;
    log_found(job, spec, deployment);
    Ok(())
}

/// Returns a problem of one agent as unavailability of this agent. Any other error concerns all agents.
fn unavailable(error: anyhow::Error) -> anyhow::Result<Ready> {
    error.downcast().map(Err)
}

fn log_found(job: &Job, spec: &Spec, deployment: &Deployment) {
    let Spec { name, namespace, .. } = spec;
    let owner = if is_ours(spec, deployment) {
        ""
    } else {
        ", created by other tools and left unchanged"
    };
    job.report.done(&format!("Found agent {namespace}/{name}{owner}"));
    if !state::has_volume(deployment) {
        Report::detail("it has no persistent volume: its cache is lost when its pod ends");
    }
    if state::replicas(deployment) > 1 {
        Report::detail("it has several pods, each with its own cache; buildx uses any of them");
    }
}

/// Waits until a pod of the agent is ready, and asks its BuildKit.
async fn wait_and_probe(job: &Job, spec: &Spec, deadline: Instant) -> anyhow::Result<DaemonStatus> {
    let Job { cluster, report, .. } = job;
    let pods = cluster.pods(&spec.name).await?;
    if state::ready_pod(&pods).is_none() {
        let name = &spec.name;
        let log = |line: &str| Report::waiting(&format!("{name}: {line}"));
        tokio::select! {
            ready = cluster.wait_ready(name, deadline, log) => ready?,
            lost = cluster.wait_until_gone(name) => return Err(agent_gone(spec, lost)),
        }
        report.done(&format!("Agent {}/{name} is ready", spec.namespace));
    }
    cluster.probe(&spec.name).await
}

/// Logs in one line how the agent differs from the inputs, so that a user sees why an input has no effect. Returns
/// whether there is no difference.
fn log_differences(job: &Job, spec: &Spec, deployment: &Value) -> anyhow::Result<bool> {
    let wanted = Objects::new(spec, spec.storage_bytes)?.deployment;
    let fields = changes::differing_fields(&wanted, deployment);
    if fields.is_empty() {
        return Ok(true);
    }
    let (shown, more) = fields.split_at(fields.len().min(3));
    let more = match more.len() {
        0 => String::new(),
        number => format!(" and {number} more"),
    };
    let remedy = match job.plan.deploy {
        Deploy::Never => "applying the output of `remote-buildkit manifests`",
        Deploy::IfAbsent | Deploy::Always => "`deploy: always`",
    };
    Report::detail(&format!(
        "it differs from the inputs in {}{more}; {remedy} updates it",
        shown.join(", ")
    ));
    Ok(false)
}

/// Repairs the ConfigMap that a job left inconsistent when it was killed during a deployment. Without the permission for
/// that, the agent is used as it is.
async fn repair_config_map(job: &Job, spec: &Spec, deployment: &Deployment) {
    match job.cluster.repair_config_map(spec, deployment).await {
        Ok(true) => Report::detail(
            "its ConfigMap did not match its Deployment: repaired; buildkitd reads it at its next start",
        ),
        Ok(false) => {}
        Err(error) => tracing::debug!("could not check the ConfigMap: {error:#}"),
    }
}

/// Adds to the remedy that changed inputs are not applied to an existing agent.
fn explain_inputs_not_applied(error: anyhow::Error, deploy: Deploy) -> anyhow::Error {
    if deploy == Deploy::Always {
        return error;
    }
    let problem: Problem = match error.downcast() {
        Ok(problem) => problem,
        Err(other) => return other,
    };
    let remedy = format!(
        "{} The agent existed already; inputs are applied to an existing agent only with `deploy: always`.",
        problem.remedy
    );
    Problem { remedy, ..problem }.into()
}

/// Returns the error for an agent that was deleted or changed while connect waited for it.
fn agent_gone(spec: &Spec, lost: AgentGone) -> anyhow::Error {
    let Spec { name, namespace, .. } = spec;
    match lost {
        AgentGone::Deleted => Problem::new(
            ErrorCode::AgentNotFound,
            format!(
                "The Deployment of the agent {namespace}/{name} was deleted while connect waited for it."
            ),
            "Run the job again: it deploys the agent again, unless `deploy: never` is set.",
        )
        .into(),
        AgentGone::Unusable(why) => agent_unusable(spec, &why.to_string()).into(),
        AgentGone::Denied(error) => error,
    }
}
