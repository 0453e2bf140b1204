//! The agent of a plan: found or deployed, and waited for.

use std::time::Instant;

use crate::agent::{Spec, state};
use crate::aws::{self, Session};
use crate::cluster::{Cluster, Unauthorized};
use crate::inputs::{Deploy, Plan};
use crate::problem::Problem;
use crate::report::Report;

/// Returns when the agent is ready; deploys it if need be.
pub(super) async fn ready(
    cluster: &Cluster,
    plan: &Plan,
    deadline: Instant,
    report: &Report,
) -> anyhow::Result<()> {
    let Spec { name, namespace, .. } = &plan.agent;
    let deployment = cluster.deployment(name).await?;
    let found = deployment.is_some();
    match deployment {
        Some(deployment) => {
            state::usable(&deployment).map_err(|why| unusable(&plan.agent, &why))?;
            let whose = if state::is_ours(&deployment) {
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
        }
        None if plan.deploy == Deploy::Never => return Err(absent(cluster, &plan.agent).into()),
        None => {
            cluster.deploy(&plan.agent).await?;
            report.done(&format!("Agent {namespace}/{name} was absent and is deployed"));
        }
    }
    let pods = cluster.pods(name).await?;
    if state::ready_pod(&pods).is_some() {
        return Ok(());
    }
    let waited = cluster.wait_ready(name, deadline, Report::detail).await;
    waited.map_err(|error| {
        if found {
            not_by_inputs(error, &plan.agent)
        } else {
            error
        }
    })?;
    report.done("Agent is ready");
    Ok(())
}

/// The wait was for an agent that was there: other inputs would not change it.
fn not_by_inputs(error: anyhow::Error, spec: &Spec) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) => {
            let remedy = format!(
                "{} The agent was there already, and the inputs are not applied to it: to have it made anew, with its \
                 volume, kubectl -n {} delete deployment {}.",
                problem.remedy, spec.namespace, spec.name
            );
            Problem { remedy, ..problem }.into()
        }
        Err(other) => other,
    }
}

fn absent(cluster: &Cluster, spec: &Spec) -> Problem {
    Problem::new(
        "No agent",
        format!(
            "Looked for the Deployment {} in the namespace {} of {} and there is none; `deploy: never` forbids to \
             deploy it.",
            spec.name,
            spec.namespace,
            cluster.server()
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

/// The cluster did not accept our token: say who we are, for only that can be entered there.
pub(super) async fn named(error: anyhow::Error, session: Option<&Session>) -> anyhow::Error {
    let Some(Unauthorized { what }) = error.downcast_ref() else {
        return error;
    };
    let title = "Not known to the cluster";
    let Some(session) = session else {
        let remedy = "Check that the credentials of that kubeconfig are still good: kubectl auth whoami.";
        return Problem::new(title, what, remedy).into();
    };
    let principal = match &session.role {
        Some(role) => role.arn.clone(),
        None => {
            let caller = aws::caller(&session.keys, &session.place).await;
            caller.unwrap_or_else(|| "PRINCIPAL_ARN".into())
        }
    };
    Problem::new(
        title,
        format!("{what} The token is of {principal}."),
        format!(
            "Add an access entry: aws eks create-access-entry --region {} --cluster-name {} --principal-arn \
             {principal} --kubernetes-groups remote-buildkit; then bind the Role of the README to that group.",
            session.place.region, session.cluster
        ),
    )
    .into()
}
