//! Checks that the agent exists, is ready and matches the inputs.

use std::time::Duration;

use super::super::Doctor;
use super::super::agents::{Agent, FoundAgent};
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::agent::manifests::Objects;
use crate::agent::{Spec, changes, state};
use crate::cluster::{Cluster, StartupStatus};
use crate::commands::agent_checks;
use crate::inputs::Deploy;

pub const CHECK: Check = Check::new("agent", CheckGroup::Agent);

/// How long to wait until the watches have reported the state of an agent.
const STARTUP_STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// Compares an existing agent with the inputs, or asks what it waits for. If it does not exist, asks for a dry run of its
/// deployment.
pub async fn run(
    doctor: &Doctor,
    cluster: &Cluster,
    agent: &Agent,
    existing: Option<&FoundAgent>,
) -> anyhow::Result<(Finding, ())> {
    let spec = &agent.spec;
    let Some(existing) = existing else {
        if doctor.plan.deploy == Deploy::Never {
            return Err(agent_checks::agent_not_found(cluster.server(), spec).into());
        }
        let rejected = cluster.dry_run_deploy(spec).await.err();
        let rejected = rejected.map(|error| agent_checks::explain_deploy_denied(spec, error));
        let rejected = rejected.map(|error| Finding::from(anyhow::Error::from(error)));
        return Ok((evaluate_missing(spec, rejected), ()));
    };
    if let Err(why) = state::check_usable(&existing.deployment) {
        return Err(agent_checks::agent_unusable(spec, &why.to_string()).into());
    }
    let finding = if existing.is_ready {
        let drift = drift(doctor, cluster, spec, existing).await?;
        evaluate_ready(spec, &existing.deployment, &drift)
    } else {
        let status = cluster.startup_status(&spec.name, STARTUP_STATUS_TIMEOUT).await?;
        evaluate_starting(spec, status)
    };
    Ok((finding, ()))
}

/// Returns how the agent differs from the inputs, and whether connect would change that.
async fn drift(
    doctor: &Doctor,
    cluster: &Cluster,
    spec: &Spec,
    existing: &FoundAgent,
) -> anyhow::Result<Drift> {
    if !agent_checks::is_ours(spec, &existing.deployment) {
        return Ok(Drift::NotOurs);
    }
    let spec = &agent_checks::for_existing_agent(spec, &existing.deployment, doctor.plan.deploy);
    if doctor.plan.deploy == Deploy::Always {
        let update = cluster.preview(spec, &existing.deployment).await?;
        return Ok(match update.diff.is_empty() {
            true => Drift::Nothing,
            false => Drift::Updated {
                restarts: update.restarts,
            },
        });
    }
    let expected = Objects::new(spec, spec.storage_bytes)?.deployment;
    let fields = changes::differing_fields(&expected, &existing.raw);
    Ok(match fields.is_empty() {
        true => Drift::Nothing,
        false => Drift::Fields(fields),
    })
}

/// Returns the finding for an agent that does not exist. `rejected` is why the API server rejected a dry run of its
/// deployment.
pub fn evaluate_missing(spec: &Spec, rejected: Option<Finding>) -> Finding {
    let missing = format!(
        "{}/{} does not exist; connect would deploy it",
        spec.namespace, spec.name
    );
    match rejected {
        None => Finding {
            ends_with_connect: true,
            ..Finding::failed(
                format!("{missing}; the API server accepted a dry run"),
                "Run connect, which deploys it.",
            )
        },
        Some(error) => Finding::failed(format!("{missing}. {}", error.found), error.remedy),
    }
}

/// Returns the finding for an agent that is not ready. `status` is `None` if it became ready meanwhile.
pub fn evaluate_starting(spec: &Spec, status: Option<StartupStatus>) -> Finding {
    let name = format!("{}/{}", spec.namespace, spec.name);
    let Some(status) = status else {
        return Finding::failed(format!("{name} has just become ready"), "Run doctor again.");
    };
    match status.failure {
        Some(failure) => Finding::failed(failure.what, failure.remedy),
        None => Finding::failed(
            format!(
                "{name} is not ready; the next step is: {}. Latest events: {}",
                status.step, status.latest_events
            ),
            format!(
                "Run kubectl -n {} describe pod -l app={}. connect waits for the agent, up to `timeout`.",
                spec.namespace, spec.name
            ),
        ),
    }
}

/// Returns the finding for an agent that is ready.
pub fn evaluate_ready(spec: &Spec, deployment: &state::Deployment, drift: &Drift) -> Finding {
    let found = format!("{}/{} is ready", spec.namespace, spec.name);
    if state::replicas(deployment) > 1 {
        return Finding::warning(
            format!("{found}; it has several pods, each with its own cache; buildx uses any of them"),
            "Scale it to one replica. For several agents, set the input `agents`.",
        );
    }
    match drift {
        Drift::NotOurs => Finding::ok(format!(
            "{found}; another tool created it, so connect does not change it"
        )),
        Drift::Nothing => Finding::ok(format!("{found}, and matches the inputs")),
        Drift::Fields(fields) => Finding::warning(
            format!("{found}; it differs from the inputs in {}", fields.join(", ")),
            "Set `deploy: always` to update it, or apply the output of `remote-buildkit manifests`.",
        ),
        Drift::Updated { restarts } => {
            let pod = if *restarts {
                "its pod would be replaced when its running builds have ended"
            } else {
                "its pod would keep running"
            };
            Finding::warning(
                format!("{found}; it differs from the inputs, and connect would update it: {pod}"),
                "Run connect, which updates the agent and prints the difference.",
            )
        }
    }
}

/// How an agent differs from the inputs.
#[derive(Debug, PartialEq, Eq)]
pub enum Drift {
    /// Another tool created it, so the inputs do not describe it.
    NotOurs,
    Nothing,
    Fields(Vec<String>),
    /// connect would update it.
    Updated {
        restarts: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
    use super::*;

    #[test]
    fn an_agent_that_differs_is_a_warning_with_a_remedy() {
        let deployment = |replicas: i32| -> state::Deployment {
            let deployment =
                serde_json::json!({"spec": {"replicas": replicas, "selector": {}, "template": {}}});
            serde_json::from_value(deployment).expect("deployment")
        };
        let of = |drift| evaluate_ready(&Spec::example(), &deployment(1), &drift);
        assert_eq!(of(Drift::Nothing).status, CheckStatus::Ok);
        assert_eq!(of(Drift::NotOurs).status, CheckStatus::Ok);
        let fields = of(Drift::Fields(vec!["spec.replicas".into()]));
        assert_eq!(fields.status, CheckStatus::Warning);
        assert!(
            fields.found.ends_with("differs from the inputs in spec.replicas"),
            "{fields:?}"
        );
        assert!(
            of(Drift::Updated { restarts: true })
                .found
                .contains("would be replaced")
        );
        let several = evaluate_ready(&Spec::example(), &deployment(2), &Drift::Nothing);
        assert_eq!(several.status, CheckStatus::Warning);
    }

    #[test]
    fn a_missing_agent_has_failed_with_the_result_of_the_dry_run() {
        let spec = Spec::example();
        assert_eq!(
            evaluate_missing(&spec, None),
            Finding {
                ends_with_connect: true,
                ..Finding::failed(
                    "buildkit/remote-buildkit-agent does not exist; connect would deploy it; the API server accepted a dry run",
                    "Run connect, which deploys it."
                )
            }
        );
        let rejected = Finding::failed("Quota exceeded.", "Raise the quota.");
        assert_eq!(
            evaluate_missing(&spec, Some(rejected)),
            Finding::failed(
                "buildkit/remote-buildkit-agent does not exist; connect would deploy it. Quota exceeded.",
                "Raise the quota."
            )
        );
    }

    #[test]
    fn an_agent_that_became_ready_meanwhile_is_to_be_checked_again() {
        assert_eq!(
            evaluate_starting(&Spec::example(), None),
            Finding::failed(
                "buildkit/remote-buildkit-agent has just become ready",
                "Run doctor again."
            )
        );
    }
}
