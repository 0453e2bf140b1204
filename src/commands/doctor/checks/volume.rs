//! Checks the volume of the agent: its PersistentVolumeClaim.

use super::super::agents::{Agent, FoundAgent};
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::agent::quantity::parse_bytes;
use crate::agent::{Spec, state};
use crate::cluster::{ClaimInfo, Cluster, Lookup};

pub const CHECK: Check = Check::new("volume", CheckGroup::Storage);

/// Reads the PersistentVolumeClaim of an existing agent, or the one that an earlier agent of this name left.
pub async fn run(
    cluster: &Cluster,
    agent: &Agent,
    existing: Option<&FoundAgent>,
) -> anyhow::Result<(Finding, ())> {
    let spec = &agent.spec;
    let Some(existing) = existing else {
        let left = cluster.claim(&spec.name).await?;
        return Ok((evaluate_left(spec, &left), ()));
    };
    let name = state::claim_name(&existing.deployment);
    let found = match name {
        Some(name) => cluster.claim(name).await?,
        None => Lookup::NotFound,
    };
    Ok((evaluate(spec, existing.is_ready, name, &found), ()))
}

/// Returns the finding for the volume of an existing agent. `name` is the PersistentVolumeClaim that its Deployment names.
pub fn evaluate(spec: &Spec, is_ready: bool, name: Option<&str>, found: &Lookup<ClaimInfo>) -> Finding {
    let namespace = &spec.namespace;
    let Some(name) = name else {
        return Finding::warning(
            "the agent has no PersistentVolumeClaim: unless it uses a directory of its node, its cache is lost when its pod ends",
            "Add a PersistentVolumeClaim to its Deployment, or set `name` to another agent, which connect deploys with one.",
        );
    };
    match found {
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
        Lookup::Forbidden(_) if is_ready => Finding::not_needed(format!(
            "no permission to read the PersistentVolumeClaim {name}; not needed: the pod has its volume"
        )),
        Lookup::Forbidden(why) => Finding::warning(
            format!("no permission to read the PersistentVolumeClaim {name}: {why}"),
            "Bind the Role remote-buildkit-deploy, which has this permission.",
        ),
    }
}

/// Returns the finding for a bound claim: whether its size and its class match the inputs.
fn bound(spec: &Spec, claim: &ClaimInfo) -> Finding {
    let size = claim.size.as_deref().unwrap_or("unknown size");
    let class = claim.class.as_deref().unwrap_or("none");
    let found = format!(
        "the PersistentVolumeClaim {} is bound: {size}, StorageClass {class}",
        claim.name
    );
    if let Some(requested) = spec.storage_class.as_deref().filter(|name| *name != class) {
        return Finding::warning(
            format!("{found}, but `storage-class: {requested}` is set"),
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
    if parse_bytes(size).is_some_and(|bytes| bytes < spec.storage_bytes) {
        return Finding::warning(
            format!("{found}, smaller than `storage: {}`", spec.storage),
            "Set `deploy: always` to expand the volume, if its StorageClass allows that.",
        );
    }
    Finding::ok(found)
}

/// Returns the finding for the volume that a missing agent would use.
pub fn evaluate_left(spec: &Spec, found: &Lookup<ClaimInfo>) -> Finding {
    match found {
        Lookup::Found(claim) => Finding::ok(format!(
            "the PersistentVolumeClaim {} of an earlier agent exists ({}): the next agent uses it and its cache",
            claim.name, claim.phase
        )),
        Lookup::NotFound => Finding::skipped(format!(
            "the PersistentVolumeClaim does not exist yet: it is created with the agent {}",
            spec.name
        )),
        Lookup::Forbidden(_) => Finding::skipped(
            "no permission to read the PersistentVolumeClaim that an earlier agent may have left",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
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
    fn a_volume_is_bound_and_matches_the_inputs() {
        let of = |spec: &Spec, found| evaluate(spec, false, Some("agent"), &found);
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
    fn a_claim_without_read_permission_is_not_needed_while_the_pod_is_ready() {
        let found = Lookup::Forbidden("cannot get".into());
        let of = |is_ready| evaluate(&Spec::example(), is_ready, Some("agent"), &found).status;
        assert_eq!(
            (of(true), of(false)),
            (CheckStatus::NotNeeded, CheckStatus::Warning)
        );
    }
}
