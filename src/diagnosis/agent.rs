//! Evaluates an agent, its volume, its disk and its response time.

use std::time::Duration;

use super::Finding;
use crate::agent::quantity::parse_bytes;
use crate::agent::{Spec, state};
use crate::cluster::{ClaimInfo, DiskUsage, Lookup};

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

/// Returns the row of an agent that is ready.
pub fn serving(spec: &Spec, deployment: &state::Deployment, differs: &Drift) -> Finding {
    let found = format!("{}/{} is ready", spec.namespace, spec.name);
    if state::replicas(deployment) > 1 {
        return Finding::warning(
            format!("{found}; it has several pods, each with its own cache; buildx uses any of them"),
            "Scale it to one replica; for several agents, use the input `agents`.",
        );
    }
    match differs {
        Drift::NotOurs => Finding::ok(format!("{found}; created by other tools and left unchanged")),
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
                "Run connect with these inputs; it prints the difference.",
            )
        }
    }
}

/// Returns the row of the volume of an existing agent. `name` is the PersistentVolumeClaim that its Deployment names.
pub fn volume(spec: &Spec, ready: bool, name: Option<&str>, seen: &Lookup<ClaimInfo>) -> Finding {
    let namespace = &spec.namespace;
    let Some(name) = name else {
        return Finding::warning(
            "it has no PersistentVolumeClaim: unless it uses a directory of its node, its cache is lost when its pod ends",
            "Add a PersistentVolumeClaim to it, or let connect deploy an agent under another `name`.",
        );
    };
    match seen {
        Lookup::Found(claim) if claim.phase == "Bound" => bound(spec, claim),
        Lookup::Found(claim) => Finding::failed(
            format!("the PersistentVolumeClaim {namespace}/{name} is {}", claim.phase),
            format!("Read its events: kubectl -n {namespace} describe persistentvolumeclaim {name}."),
        ),
        Lookup::NotFound => Finding::failed(
            format!("the agent's PersistentVolumeClaim {namespace}/{name} does not exist"),
            format!(
                "Delete the Deployment, so that connect deploys the agent and its volume again: kubectl -n {namespace} delete deployment {}.",
                spec.name
            ),
        ),
        Lookup::Forbidden(_) if ready => Finding::ok(format!(
            "no permission to read the PersistentVolumeClaim {name}; not needed: the pod has its volume"
        )),
        Lookup::Forbidden(why) => Finding::warning(
            format!("no permission to read the PersistentVolumeClaim {name}: {why}"),
            "Bind the Role remote-buildkit-deploy, which has this permission.",
        ),
    }
}

fn bound(spec: &Spec, claim: &ClaimInfo) -> Finding {
    let size = claim.size.as_deref().unwrap_or("unknown size");
    let class = claim.class.as_deref().unwrap_or("none");
    let found = format!(
        "the PersistentVolumeClaim {} is bound: {size}, StorageClass {class}",
        claim.name
    );
    let asked = spec.storage_class.as_deref();
    if asked.is_some_and(|asked| asked != class) {
        return Finding::warning(
            format!(
                "{found}; the input is `storage-class: {}`",
                asked.unwrap_or_default()
            ),
            match &claim.class {
                Some(class) => format!(
                    "Set `storage-class: {class}`: the class of an existing volume cannot be changed."
                ),
                None => {
                    "Remove the input `storage-class`: the class of an existing volume cannot be changed."
                        .into()
                }
            },
        );
    }
    if parse_bytes(size).is_some_and(|has| has < spec.storage_bytes) {
        return Finding::warning(
            format!("{found}; the input is `storage: {}`", spec.storage),
            "Set `deploy: always` to expand the volume, if its StorageClass allows that.",
        );
    }
    Finding::ok(found)
}

/// Returns the row of the volume that an agent which does not exist would use.
pub fn volume_left(spec: &Spec, seen: &Lookup<ClaimInfo>) -> Finding {
    match seen {
        Lookup::Found(claim) => Finding::ok(format!(
            "the PersistentVolumeClaim {} of an earlier agent exists ({}): the next agent uses its cache",
            claim.name, claim.phase
        )),
        Lookup::NotFound => Finding::skipped(format!(
            "does not exist yet: it is created with the agent {}",
            spec.name
        )),
        Lookup::Forbidden(_) => Finding::skipped("skipped (requires agent)"),
    }
}

/// Returns the row of the disk usage.
pub fn disk(usage: DiskUsage) -> Finding {
    let found = usage.to_string();
    if usage.is_almost_full() {
        return Finding::warning(
            found,
            "Raise `storage`, with `deploy: always`, if the volume stays this full: garbage collection runs after each \
             build.",
        );
    }
    Finding::ok(found)
}

/// Returns the row when the disk usage is unknown, because the image has no `df` or the agent has no volume.
pub fn disk_unknown(has_volume: bool) -> Finding {
    if has_volume {
        return Finding::warning(
            "unknown: the image has no sh or no df",
            "Use an image that has both, as BuildKit's own does, to be warned of a full disk.",
        );
    }
    Finding::skipped("the agent has no volume")
}

/// An exec that takes longer slows builds down noticeably: each build starts with one and communicates over it.
const SLOW_EXEC: Duration = Duration::from_secs(1);

/// Returns the row of the exec latency, from several measurements.
pub fn round_trips(took: &[Duration]) -> Finding {
    let mut sorted = took.to_vec();
    sorted.sort();
    let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
        return Finding::skipped("no command was run");
    };
    let median = sorted[sorted.len() / 2];
    let ms = |duration: &Duration| duration.as_millis();
    let found = format!(
        "a command in the pod takes {} ms (median of {}, {} to {} ms)",
        ms(&median),
        sorted.len(),
        ms(least),
        ms(most)
    );
    if median > SLOW_EXEC {
        return Finding::warning(
            found,
            "Run jobs nearer to the cluster, and check whether its API server, or a proxy in between, is overloaded: \
             each build needs several such calls.",
        );
    }
    Finding::ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::CheckStatus;
    use super::*;

    fn claim(phase: &str, size: &str) -> Lookup<ClaimInfo> {
        Lookup::Found(ClaimInfo {
            name: "agent".into(),
            phase: phase.into(),
            class: Some("gp3".into()),
            size: Some(size.into()),
        })
    }

    #[test]
    fn an_agent_that_differs_is_a_warning_with_a_remedy() {
        let deployment = |replicas: i32| -> state::Deployment {
            let deployment =
                serde_json::json!({"spec": {"replicas": replicas, "selector": {}, "template": {}}});
            serde_json::from_value(deployment).expect("deployment")
        };
        let of = |differs| serving(&Spec::example(), &deployment(1), &differs);
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
        let several = serving(&Spec::example(), &deployment(2), &Drift::Nothing);
        assert_eq!(several.status, CheckStatus::Warning);
    }

    #[test]
    fn a_volume_is_bound_and_matches_the_inputs() {
        let of = |spec: &Spec, seen| volume(spec, false, Some("agent"), &seen);
        let spec = Spec::example();
        assert_eq!(
            of(&spec, claim("Bound", "60Gi")),
            Finding::ok("the PersistentVolumeClaim agent is bound: 60Gi, StorageClass gp3")
        );
        assert_eq!(of(&spec, claim("Bound", "20Gi")).status, CheckStatus::Warning);
        assert_eq!(of(&spec, claim("Pending", "50Gi")).status, CheckStatus::Failed);
        assert_eq!(of(&spec, Lookup::NotFound).status, CheckStatus::Failed);
        let other = Spec {
            storage_class: Some("io2".into()),
            ..Spec::example()
        };
        let finding = of(&other, claim("Bound", "60Gi"));
        assert_eq!(
            finding.remedy,
            "Set `storage-class: gp3`: the class of an existing volume cannot be changed."
        );
    }

    #[test]
    fn a_claim_without_read_permission_is_ok_while_the_pod_is_ready() {
        let seen = Lookup::Forbidden("cannot get".into());
        let of = |ready| volume(&Spec::example(), ready, Some("agent"), &seen).status;
        assert_eq!((of(true), of(false)), (CheckStatus::Ok, CheckStatus::Warning));
    }

    #[test]
    fn exec_latency_is_judged_by_the_median() {
        let ms = |numbers: &[u64]| -> Vec<Duration> {
            numbers
                .iter()
                .map(|number| Duration::from_millis(*number))
                .collect()
        };
        assert_eq!(
            round_trips(&ms(&[40, 900, 30, 50, 45])),
            Finding::ok("a command in the pod takes 45 ms (median of 5, 30 to 900 ms)")
        );
        assert_eq!(round_trips(&ms(&[1100, 1200, 30])).status, CheckStatus::Warning);
        assert_eq!(round_trips(&[]).status, CheckStatus::Skipped);
    }

    #[test]
    fn a_disk_above_ninety_percent_is_a_warning() {
        let of = |used: u64| {
            disk(DiskUsage {
                used: used << 30,
                total: 100 << 30,
            })
        };
        assert_eq!(of(90), Finding::ok("90.0 of 100.0 GiB used (90 %)"));
        assert_eq!(of(91).status, CheckStatus::Warning);
    }
}
