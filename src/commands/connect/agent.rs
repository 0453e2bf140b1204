//! One agent: found or deployed, waited for, and asked whether it answers.

use std::time::Instant;

use super::Job;
use crate::agent::manifests::Objects;
use crate::agent::{Spec, changes, state};
use crate::cluster::{Answer, Unauthorized};
use crate::inputs::Deploy;
use crate::problem::Problem;
use crate::report::Report;

/// An agent that serves, or why this one does not: another may. What is wrong with more than this agent is an error.
pub(super) type Ready = Result<Answer, Problem>;

/// Returns when the agent answers; deploys it if need be.
pub(super) async fn ready(job: &Job, spec: &Spec, deadline: Instant) -> anyhow::Result<Ready> {
    let Job { cluster, report, .. } = job;
    let Spec { name, namespace, .. } = spec;
    let deployment = cluster.deployment(name).await?;
    let found = deployment.is_some();
    match deployment {
        Some(deployment) => {
            if let Err(why) = state::usable(&deployment) {
                return Ok(Err(unusable(spec, &why)));
            }
            let ours = state::is_ours(&deployment.metadata);
            let whose = if ours {
                ""
            } else {
                ", made by others and left as it is"
            };
            report.done(&format!("Agent {namespace}/{name} is there{whose}"));
            if !state::has_volume(&deployment) {
                Report::detail("it has no persistent volume: its cache ends with its pod");
            }
            if state::replicas(&deployment) > 1 {
                Report::detail("it has several pods, each with a cache of its own: buildx takes any of them");
            }
            if ours {
                say_differences(spec, &serde_json::to_value(&deployment)?)?;
            }
        }
        None if job.plan.deploy == Deploy::Never => return Ok(Err(absent(job, spec))),
        None => {
            cluster.deploy(spec).await?;
            report.done(&format!("Agent {namespace}/{name} was absent and is deployed"));
        }
    }
    match answer(job, spec, deadline).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) if error.is::<Unauthorized>() => Err(error),
        Err(error) => error.downcast().map(|problem| {
            Err(if found {
                not_by_inputs(problem, job.plan.deploy)
            } else {
                problem
            })
        }),
    }
}

async fn answer(job: &Job, spec: &Spec, deadline: Instant) -> anyhow::Result<Answer> {
    let Job { cluster, report, .. } = job;
    let pods = cluster.pods(&spec.name).await?;
    if state::ready_pod(&pods).is_none() {
        let name = &spec.name;
        let said = |line: &str| Report::detail(&format!("{name}: {line}"));
        cluster.wait_ready(name, deadline, said).await?;
        report.done(&format!("Agent {}/{name} is ready", spec.namespace));
    }
    cluster
        .probe(&spec.name, deadline.saturating_duration_since(Instant::now()))
        .await
}

/// One line, so that nobody wonders why an input does nothing.
fn say_differences(spec: &Spec, deployment: &serde_json::Value) -> anyhow::Result<()> {
    let wanted = Objects::new(spec, spec.storage_bytes)?.deployment;
    let fields = changes::differing(&wanted, deployment);
    if !fields.is_empty() {
        let shown = fields
            .iter()
            .take(3)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        let more = fields.len().saturating_sub(3);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Report::detail(&format!(
            "it differs from the inputs in {shown}{more}; `deploy: always` brings it up to date"
        ));
    }
    Ok(())
}

/// The wait was for an agent that was there: other inputs would not change it.
fn not_by_inputs(problem: Problem, deploy: Deploy) -> Problem {
    if deploy == Deploy::Always {
        return problem;
    }
    let remedy = format!(
        "{} The agent was there already, and the inputs are not applied to it, unless with `deploy: always`.",
        problem.remedy
    );
    Problem { remedy, ..problem }
}

fn absent(job: &Job, spec: &Spec) -> Problem {
    Problem::new(
        "No agent",
        format!(
            "Looked for the Deployment {} in the namespace {} of {} and there is none; `deploy: never` forbids to \
             deploy it.",
            spec.name,
            spec.namespace,
            job.cluster.server()
        ),
        "Deploy it (remote-buildkit manifests prints what to apply), correct `name` or `namespace`, or set `deploy: \
         if-absent`.",
    )
}

fn unusable(spec: &Spec, why: &str) -> Problem {
    Problem::new(
        "Agent not usable",
        format!(
            "Found the Deployment {} in the namespace {}, and buildx cannot use it: {why}.",
            spec.name, spec.namespace
        ),
        "Mend that Deployment, or set `name` to that of another agent.",
    )
}
