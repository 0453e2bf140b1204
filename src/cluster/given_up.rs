//! What to do about an agent that will not become ready.

use crate::agent::start::{Cause, ClaimFault, Hopeless, Refusal, Sight, Step, sentence};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

pub fn problem(namespace: &str, name: &str, why: &Hopeless) -> Problem {
    let agent = format!("Waited for the agent {namespace}/{name}");
    match why {
        Hopeless::Claim { event, fault } => Problem::new(
            ErrorCode::VolumeNotProvisioned,
            format!("{agent} and its volume cannot be had: {event}."),
            volume(namespace, name, *fault),
        ),
        Hopeless::Pod { event } => Problem::new(
            ErrorCode::PodCreationDenied,
            format!("{agent} and its pod may not be made: {event}."),
            "No pod could be made; the message says who forbids it: a quota of the namespace; its label \
             pod-security.kubernetes.io/enforce, which has to be privileged, with any `isolation`; the input \
             `service-account`, which has to exist there; or an admission policy.",
        ),
        Hopeless::Node {
            message,
            refusal,
            autoscaler,
        } => {
            let autoscaler = autoscaler.as_ref().map_or_else(
                || "and no autoscaler has said that it makes one".to_owned(),
                |said| format!("and no node will be made for it: {said}"),
            );
            Problem::new(
                ErrorCode::Unschedulable,
                format!(
                    "{agent} and its pod fits on no node: {}; {autoscaler}.",
                    sentence(message)
                ),
                node(namespace, name, refusal),
            )
        }
        Hopeless::Image { image, message } => Problem::new(
            ErrorCode::ImagePullFailed,
            format!("{agent} and its node cannot pull the image {image}: {message}."),
            "Check the input `image`, and that the nodes may pull from that registry.",
        ),
        Hopeless::Mount { event } => Problem::new(
            ErrorCode::MountFailed,
            format!("{agent} and what its pod mounts is not there: {event}."),
            format!(
                "Create it, or delete the agent to have it made anew: {}.",
                delete(namespace, name)
            ),
        ),
        Hopeless::UserNamespaces { message } => Problem::new(
            ErrorCode::NoUserNamespaces,
            format!("{agent}, which wants a user namespace, and its node has none for it: {message}"),
            "Set `isolation: privileged`, or pick nodes that allow user namespaces with `node-selector`: Bottlerocket \
             and EKS Auto Mode set the sysctl user.max_user_namespaces to 0.",
        ),
        Hopeless::Container { reason, message } => Problem::new(
            ErrorCode::ContainerCreationFailed,
            format!("{agent} and got {reason}: {message}."),
            format!("See kubectl -n {namespace} describe pod -l app={name}."),
        ),
        Hopeless::Crash { log } => {
            let log = if log.is_empty() {
                ". The cluster keeps no words of it.".into()
            } else {
                format!(", saying:\n{log}")
            };
            Problem::new(
                ErrorCode::CrashLoop,
                format!("{agent} and its container ends as soon as it starts{log}"),
                format!(
                    "What it says of its configuration comes from the input `buildkitd-config`; for more, see kubectl -n \
                     {namespace} logs deployment/{name} --previous."
                ),
            )
        }
    }
}

/// At the timeout: what it waits for may still come true. Where it is in doubt, the remedy is the doubt's.
pub(super) fn too_late(namespace: &str, name: &str, step: Step, sight: &Sight) -> Problem {
    let latest = sight.latest();
    let before = sight.predecessor().map(|pod| {
        format!("; its pod {pod} is ending, which takes until its builds have, and at most `drain-timeout`")
    });
    let remedy = if let Some(doubt) = sight.doubt() {
        problem(namespace, name, &doubt.why).remedy
    } else if before.is_some() {
        "Give it more `timeout`: the next pod starts when that one has ended.".into()
    } else if let Some(refusal) = sight.refusal() {
        node(namespace, name, &refusal)
    } else {
        match step {
            _ if sight.no_pod_made() => {
                "No pod could be made: see the namespace's quota, and its label pod-security.kubernetes.io/enforce, \
                 which has to be privileged."
            }
            Step::VolumeBound => {
                "Check that the StorageClass exists and its CSI driver runs (on EKS the add-on \
                 aws-ebs-csi-driver), and that a node has room for the pod."
            }
            Step::ImagePulled | Step::ContainerStarted | Step::Ready => {
                "Give it more `timeout`, or see kubectl describe pod for what it waits for."
            }
        }
        .into()
    };
    Problem::new(
        ErrorCode::AgentNotReady,
        format!(
            "Waited for the agent {namespace}/{name} until the timeout, last for: {}{}; the last thing heard: {latest}.",
            step.name(),
            before.unwrap_or_default()
        ),
        remedy,
    )
}

/// A claim keeps its class, and a Deployment that is there is not changed by other inputs.
fn delete(namespace: &str, name: &str) -> String {
    format!("kubectl -n {namespace} delete deployment,pvc {name}")
}

fn volume(namespace: &str, name: &str, fault: ClaimFault) -> String {
    let delete = delete(namespace, name);
    match fault {
        ClaimFault::NoSuchClass => format!(
            "Create that StorageClass, or set the input `storage-class` to one that exists (kubectl get storageclass) \
             and remove what is there: {delete}."
        ),
        ClaimFault::NoDefaultClass => format!(
            "Mark a StorageClass as the default (kubectl annotate storageclass NAME \
             storageclass.kubernetes.io/is-default-class=true; EKS has had none since 1.30), or set the input \
             `storage-class` and remove what is there: {delete}."
        ),
        ClaimFault::Provisioning => "Check what the CSI driver may do (on EKS the IAM role of the add-on \
                                     aws-ebs-csi-driver), the input `storage` and the parameters of the StorageClass."
            .into(),
        ClaimFault::Deleted => format!(
            "Somebody deleted the claim, as `destroy --volumes` does. It goes when the pods that use it have ended, and \
             they wait for their builds, at most `drain-timeout`. Then remove what is left, and run the job again: \
             {delete}."
        ),
        ClaimFault::Lost => format!("The volume was deleted. Remove the agent to have it made anew: {delete}."),
    }
}

fn node(namespace: &str, name: &str, refusal: &Refusal) -> String {
    let remedies = refusal.causes.iter().map(|cause| match cause {
        Cause::Selector => "Correct the input `node-selector` (kubectl get nodes --show-labels), or add a node with these \
                            labels; each of `platforms` wants nodes of its architecture."
            .to_owned(),
        Cause::Taint => "Set the input `tolerations` for the taints of the nodes that are meant (kubectl describe \
                         nodes)."
            .into(),
        Cause::Zone => format!(
            "The volume with the cache is in a zone, or on a node, where the pod finds none of the nodes it may use: add \
             one there, correct `node-selector`, or give the cache up with {}.",
            delete(namespace, name)
        ),
        Cause::Volume => {
            format!("See kubectl -n {namespace} describe pvc, and the StorageClass: no node can have that volume.")
        }
        Cause::Room if refusal.lasting => {
            "Lower the inputs `cpu` and `memory`, or add a larger node: none is as large as that.".into()
        }
        Cause::Room => "Lower the inputs `cpu` and `memory`, or add a node: other pods have the room.".into(),
        Cause::NoNodes => "Add a node: the cluster has none.".into(),
    });
    remedies.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, metadata: &Value, message: &str) -> Pod {
        let mut metadata = metadata.clone();
        metadata["name"] = name.into();
        serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]}}))
        .expect("pod")
    }

    #[test]
    fn a_predecessor_that_drains_is_what_was_waited_for() {
        let mut sight = Sight::default();
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        sight.see(pod("a-1-1", &deleted, ""));
        sight.see(pod(
            "a-1-2",
            &json!({}),
            "0/2 nodes are available: 2 Insufficient cpu.",
        ));
        let late = too_late("x", "a", Step::VolumeBound, &sight);
        let said = "Waited for the agent x/a until the timeout, last for: volume bound; its pod a-1-1 is ending, which takes \
                    until its builds have, and at most `drain-timeout`; the last thing heard: ";
        assert!(late.what.starts_with(said), "{}", late.what);
        assert!(late.remedy.contains("more `timeout`"), "{}", late.remedy);
    }

    #[test]
    fn who_was_not_given_up_is_told_what_the_scheduler_wants() {
        let mut sight = Sight::default();
        sight.see(pod(
            "a-1-2",
            &json!({}),
            "0/2 nodes are available: 2 Insufficient cpu.",
        ));
        let late = too_late("x", "a", Step::VolumeBound, &sight);
        assert!(
            late.remedy.contains("other pods have the room"),
            "{}",
            late.remedy
        );
    }

    #[test]
    fn a_deleted_claim_is_said_to_go_with_its_pod() {
        let (event, fault) = (
            "persistentvolumeclaim \"a\" is being deleted".into(),
            ClaimFault::Deleted,
        );
        let problem = problem("x", "a", &Hopeless::Claim { event, fault });
        assert!(
            problem.what.contains("\"a\" is being deleted"),
            "{}",
            problem.what
        );
        assert!(
            problem.remedy.contains("`destroy --volumes`"),
            "{}",
            problem.remedy
        );
    }
}
