//! One agent: found or deployed, waited for, and asked whether it answers.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Job, update};
use crate::agent::manifests::Objects;
use crate::agent::state::Deployment;
use crate::agent::{Spec, changes, state};
use crate::cluster::{Answer, Cluster, Lost};
use crate::error_code::ErrorCode;
use crate::inputs::Deploy;
use crate::problem::Problem;
use crate::report::Report;

/// An agent that serves, or why this one does not: another may. What is wrong with more than this agent is an error.
pub(super) type Ready = Result<Answer, Problem>;

/// The agent whose turn it is: returns when it answers, deploys it or brings it up to date if need be.
pub(super) async fn ready(job: &Job, spec: &Spec) -> anyhow::Result<Ready> {
    let Job { cluster, report, .. } = job;
    let Spec { name, namespace, .. } = spec;
    let Some((deployment, whole)) = cluster.whole_deployment(name).await? else {
        if job.plan.deploy == Deploy::Never {
            return Ok(Err(absent(&job.cluster, spec)));
        }
        if let Err(error) = cluster.deploy(spec).await {
            return unavailable(error);
        }
        report.done(&format!("Agent {namespace}/{name} was absent and is deployed"));
        return answer(job, spec, first_by(job))
            .await
            .map(Ok)
            .or_else(unavailable);
    };
    if let Err(problem) = found(job, spec, &deployment) {
        return Ok(Err(problem));
    }
    let mut as_wanted = false;
    if is_ours(spec, &deployment) {
        if job.plan.deploy == Deploy::Always {
            update::update(job, spec, &deployment).await?;
        } else {
            as_wanted = say_differences(job, spec, &whole)?;
        }
    }
    let mends = as_wanted && job.plan.deploy == Deploy::IfAbsent;
    let mending = async {
        if mends {
            mend(job, spec, &deployment).await;
        }
    };
    let (answered, ()) = futures::future::join(answer(job, spec, first_by(job)), mending).await;
    answered
        .map(Ok)
        .or_else(|error| unavailable(not_by_inputs(error, job.plan.deploy)))
}

/// An agent further down in the order: one that is there, as it is, or none. Deploying it would take longer than
/// whoever asks has left.
pub(super) async fn ready_as_it_is(job: &Job, spec: &Spec) -> anyhow::Result<Ready> {
    let Some(deployment) = job.cluster.deployment(&spec.name).await? else {
        return Ok(Err(absent(&job.cluster, spec)));
    };
    if let Err(problem) = found(job, spec, &deployment) {
        return Ok(Err(problem));
    }
    let answered = answer(job, spec, job.deadline).await;
    answered.map(Ok).or_else(unavailable)
}

/// Until when the first of several is waited for: long enough before the deadline for one that is ready to answer.
fn first_by(job: &Job) -> Instant {
    if job.plan.agents.number == 1 {
        return job.deadline;
    }
    job.deadline - FALLBACK.min(job.plan.timeout / 2)
}

const FALLBACK: Duration = Duration::from_secs(10);

/// Says what there is, if it can be used.
fn found(job: &Job, spec: &Spec, deployment: &Deployment) -> Result<(), Problem> {
    state::check_usable(deployment).map_err(|why| unusable(spec, &why.to_string()))?;
    say_found(job, spec, deployment);
    Ok(())
}

/// What is wrong with one agent; anything else is wrong with all of them.
fn unavailable(error: anyhow::Error) -> anyhow::Result<Ready> {
    error.downcast().map(Err)
}

/// Made by this program, for the same input `name`.
pub(in crate::commands) fn is_ours(spec: &Spec, deployment: &Deployment) -> bool {
    let metadata = &deployment.metadata;
    state::is_ours(metadata) && state::instance(metadata) == Some(&spec.instance)
}

fn say_found(job: &Job, spec: &Spec, deployment: &Deployment) {
    let Spec { name, namespace, .. } = spec;
    let whose = if is_ours(spec, deployment) {
        ""
    } else {
        ", made by others and left as it is"
    };
    job.report
        .done(&format!("Agent {namespace}/{name} is there{whose}"));
    if !state::has_volume(deployment) {
        Report::detail("it has no persistent volume: its cache ends with its pod");
    }
    if state::replicas(deployment) > 1 {
        Report::detail("it has several pods, each with a cache of its own: buildx takes any of them");
    }
}

async fn answer(job: &Job, spec: &Spec, deadline: Instant) -> anyhow::Result<Answer> {
    let Job { cluster, report, .. } = job;
    let pods = cluster.pods(&spec.name).await?;
    if state::ready_pod(&pods).is_none() {
        let name = &spec.name;
        let said = |line: &str| Report::detail(&format!("{name}: {line}"));
        tokio::select! {
            ready = cluster.wait_ready(name, deadline, said) => ready?,
            lost = cluster.lost(name) => return Err(not_coming(spec, lost)),
        }
        report.done(&format!("Agent {}/{name} is ready", spec.namespace));
    }
    cluster.probe(&spec.name).await
}

/// One line, so that nobody wonders why an input does nothing. Returns whether there was none to say.
fn say_differences(job: &Job, spec: &Spec, deployment: &Value) -> anyhow::Result<bool> {
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
        Deploy::Never => "what remote-buildkit manifests prints",
        Deploy::IfAbsent | Deploy::Always => "`deploy: always`",
    };
    Report::detail(&format!(
        "it differs from the inputs in {}{more}; {remedy} brings it up to date",
        shown.join(", ")
    ));
    Ok(false)
}

/// What a job left that was killed while it deployed. A job that may not do that has an agent all the same.
async fn mend(job: &Job, spec: &Spec, deployment: &Deployment) {
    match job.cluster.mend(spec, deployment).await {
        Ok(true) => Report::detail(
            "its ConfigMap was not that of its Deployment and is put right; its daemon reads it when it starts next",
        ),
        Ok(false) => {}
        Err(error) => tracing::debug!("the ConfigMap is not looked at: {error:#}"),
    }
}

/// The wait was for an agent that was there: other inputs would not change it.
fn not_by_inputs(error: anyhow::Error, deploy: Deploy) -> anyhow::Error {
    if deploy == Deploy::Always {
        return error;
    }
    let problem: Problem = match error.downcast() {
        Ok(problem) => problem,
        Err(other) => return other,
    };
    let remedy = format!(
        "{} The agent was there already, and the inputs are not applied to it, unless with `deploy: always`.",
        problem.remedy
    );
    Problem { remedy, ..problem }.into()
}

pub(in crate::commands) fn absent(cluster: &Cluster, spec: &Spec) -> Problem {
    Problem::new(
        ErrorCode::AgentNotFound,
        format!(
            "Looked for the Deployment {} in the namespace {} of {} and there is none.",
            spec.name,
            spec.namespace,
            cluster.server()
        ),
        "Deploy it (remote-buildkit manifests prints what to apply), correct `name` or `namespace`, or set `deploy: \
         if-absent`.",
    )
}

/// Somebody changed the agent while it was waited for.
fn not_coming(spec: &Spec, lost: Lost) -> anyhow::Error {
    let Spec { name, namespace, .. } = spec;
    match lost {
        Lost::Deleted => Problem::new(
            ErrorCode::AgentNotFound,
            format!("Waited for the agent {namespace}/{name}, and meanwhile its Deployment was deleted."),
            "Run the job again: unless with `deploy: never`, it deploys the agent anew.",
        )
        .into(),
        Lost::Unusable(why) => unusable(spec, &why).into(),
        Lost::Refused(error) => error,
    }
}

pub(in crate::commands) fn unusable(spec: &Spec, why: &str) -> Problem {
    Problem::new(
        ErrorCode::AgentUnusable,
        format!(
            "Found the Deployment {} in the namespace {}, and buildx cannot use it: {why}.",
            spec.name, spec.namespace
        ),
        "Mend that Deployment, or set `name` to that of another agent.",
    )
}
