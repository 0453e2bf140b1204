//! Makes one agent ready: finds or deploys it, waits for it, and checks that its BuildKit responds.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Job, update};
use crate::agent::manifests::Objects;
use crate::agent::state::Deployment;
use crate::agent::{Spec, changes, state};
use crate::cli;
use crate::cluster::{AgentGone, ClusterError, DaemonStatus};
use crate::commands::agent_checks::{
    agent_not_found, agent_unusable, explain_deploy_denied, for_existing_agent, is_ours,
};
use crate::error_code::ErrorCode;
use crate::inputs::Deploy;
use crate::problem::Problem;
use crate::report::Report;

/// Why an agent cannot serve the job.
pub(super) enum AgentError {
    /// Another agent may serve the job.
    Unavailable(Problem),
    /// The job fails: no other agent can serve it either, or the user must correct this agent.
    Fatal(anyhow::Error),
}

impl AgentError {
    /// Returns the error of a step that deploys, awaits or probes one agent. An error with a remedy may concern this
    /// agent only. If it concerns all agents, such as an API server that is down, then looking up the next agent fails,
    /// which is fatal.
    fn of_agent(error: ClusterError) -> Self {
        match error {
            ClusterError::Problem(problem) => Self::Unavailable(problem),
            ClusterError::Unauthorized(_) | ClusterError::Other(_) => Self::Fatal(error.into()),
        }
    }

    /// Returns the error of a step that must succeed for any agent.
    fn fatal(error: impl Into<anyhow::Error>) -> Self {
        Self::Fatal(error.into())
    }
}

/// Makes the preferred agent ready: deploys or updates it according to `deploy`, and returns when its BuildKit
/// responds.
pub(super) async fn ensure_ready(job: &Job, spec: &Spec) -> Result<DaemonStatus, AgentError> {
    let Job { cluster, report, .. } = job;
    let Spec { name, namespace, .. } = spec;
    let found = cluster.get_deployment_raw(name).await;
    let Some((deployment, raw)) = found.map_err(AgentError::fatal)? else {
        if job.plan.deploy == Deploy::Never {
            return Err(AgentError::Unavailable(agent_not_found(cluster.server(), spec)));
        }
        let deployed = cluster.deploy(spec).await;
        deployed.map_err(|error| AgentError::of_agent(explain_deploy_denied(spec, error)))?;
        report.done(&format!("Agent {namespace}/{name} did not exist; deployed it"));
        return wait_and_probe(job, spec, preferred_deadline(job)).await;
    };
    check_usable(job, spec, &deployment).map_err(AgentError::Unavailable)?;
    let spec = &for_existing_agent(spec, &deployment, job.plan.deploy);
    let mut matches_inputs = false;
    if is_ours(spec, &deployment) {
        if job.plan.deploy == Deploy::Always {
            let updated = update::update(job, spec, &deployment).await;
            updated.map_err(AgentError::fatal)?;
        } else {
            matches_inputs = log_differences(job, spec, &raw).map_err(AgentError::Fatal)?;
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
    answered.map_err(|error| match error {
        AgentError::Unavailable(problem) => {
            AgentError::Unavailable(explain_inputs_not_applied(problem, job.plan.deploy))
        }
        AgentError::Fatal(error) => AgentError::Fatal(error),
    })
}

/// Waits for an existing agent that is not the preferred one, and leaves it unchanged. There is not enough time left to
/// deploy one.
pub(super) async fn use_existing(job: &Job, spec: &Spec) -> Result<DaemonStatus, AgentError> {
    let found = job.cluster.deployment(&spec.name).await;
    let Some(deployment) = found.map_err(AgentError::fatal)? else {
        return Err(AgentError::Unavailable(agent_not_found(
            job.cluster.server(),
            spec,
        )));
    };
    check_usable(job, spec, &deployment).map_err(AgentError::Unavailable)?;
    wait_and_probe(job, spec, job.deadline).await
}

/// Returns the deadline for the preferred agent. If there are several agents, another one that is ready must have
/// enough time to respond.
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

/// Waits until a pod of the agent is ready, and probes its BuildKit.
async fn wait_and_probe(job: &Job, spec: &Spec, deadline: Instant) -> Result<DaemonStatus, AgentError> {
    let Job { cluster, report, .. } = job;
    let pods = cluster.pods(&spec.name).await.map_err(AgentError::of_agent)?;
    if state::ready_pod(&pods).is_none() {
        let name = &spec.name;
        let log = |line: &str| Report::waiting(&format!("{name}: {line}"));
        tokio::select! {
            ready = cluster.wait_ready(name, deadline, log) => ready.map_err(AgentError::of_agent)?,
            gone = cluster.wait_until_gone(name) => return Err(agent_gone(spec, gone)),
        }
        report.done(&format!("Agent {}/{name} is ready", spec.namespace));
    }
    cluster.probe(&spec.name).await.map_err(AgentError::of_agent)
}

/// Logs in one line how the agent differs from the inputs, so that a user sees why an input has no effect. Returns
/// whether there is no difference.
fn log_differences(job: &Job, spec: &Spec, deployment: &Value) -> anyhow::Result<bool> {
    let expected = Objects::new(spec, spec.storage_bytes)?.deployment;
    let fields = changes::differing_fields(&expected, deployment);
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
    Report::detail(&cli::for_reader(&format!(
        "it differs from the inputs in {}{more}; {remedy} updates it",
        shown.join(", ")
    )));
    Ok(false)
}

/// Repairs the ConfigMap of an agent if a job was killed while it deployed the agent. If this job has no permission for
/// that, it uses the agent as it is.
async fn repair_config_map(job: &Job, spec: &Spec, deployment: &Deployment) {
    match job.cluster.repair_config_map(spec, deployment).await {
        Ok(true) => Report::detail(
            "its ConfigMap did not match its Deployment: repaired; buildkitd reads it at its next start",
        ),
        Ok(false) => {}
        Err(error) => tracing::debug!("could not check the ConfigMap: {error}"),
    }
}

/// Adds to the remedy that changed inputs are not applied to an existing agent.
fn explain_inputs_not_applied(problem: Problem, deploy: Deploy) -> Problem {
    if deploy == Deploy::Always {
        return problem;
    }
    let remedy = format!(
        "{} The agent existed already, so the inputs were not applied: set `deploy: always` to apply them.",
        problem.remedy
    );
    Problem { remedy, ..problem }
}

/// Returns the error for an agent that was deleted or changed while connect waited for it.
fn agent_gone(spec: &Spec, gone: AgentGone) -> AgentError {
    let Spec { name, namespace, .. } = spec;
    match gone {
        AgentGone::Deleted => AgentError::Unavailable(Problem::new(
            ErrorCode::AgentNotFound,
            format!(
                "The Deployment of the agent {namespace}/{name} was deleted while connect waited for it."
            ),
            "Run the job again: it deploys the agent again, unless `deploy: never` is set.",
        )),
        AgentGone::Unusable(why) => AgentError::Unavailable(agent_unusable(spec, &why)),
        AgentGone::Unreadable(error) => AgentError::of_agent(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Unauthorized;

    fn problem() -> Problem {
        Problem::new(ErrorCode::Unschedulable, "No node fits.", "Add a node.")
    }

    #[test]
    fn an_error_with_a_remedy_makes_the_agent_unavailable() {
        let unavailable = |error| matches!(AgentError::of_agent(error), AgentError::Unavailable(_));
        assert!(unavailable(ClusterError::Problem(problem())));
        assert!(!unavailable(ClusterError::Other(anyhow::anyhow!("404"))));
        assert!(!unavailable(ClusterError::Unauthorized(Unauthorized {
            what: "401".into()
        })));
    }

    #[test]
    fn an_error_that_is_fatal_keeps_its_type() {
        let unauthorized = Unauthorized { what: "401".into() };
        let error = AgentError::of_agent(ClusterError::Unauthorized(unauthorized));
        assert!(matches!(error, AgentError::Fatal(error) if error.is::<Unauthorized>()));
        let error = AgentError::fatal(ClusterError::Problem(problem()));
        assert!(matches!(error, AgentError::Fatal(error) if error.is::<Problem>()));
    }

    /// The errors of an agent that existed already or disappears, as they are printed.
    #[test]
    fn errors_of_an_existing_agent() {
        let spec = Spec::example();
        let gone = |gone| match agent_gone(&spec, gone) {
            AgentError::Unavailable(problem) => problem.to_string(),
            AgentError::Fatal(error) => format!("fatal: {error:#}"),
        };
        let errors = [
            explain_inputs_not_applied(problem(), Deploy::IfAbsent).to_string(),
            explain_inputs_not_applied(problem(), Deploy::Always).to_string(),
            gone(AgentGone::Deleted),
            gone(AgentGone::Unusable("it is scaled to 0".into())),
            gone(AgentGone::Unreadable(ClusterError::Problem(problem()))),
            gone(AgentGone::Unreadable(ClusterError::Unauthorized(Unauthorized {
                what: "Asked and got 401.".into(),
            }))),
        ];
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
