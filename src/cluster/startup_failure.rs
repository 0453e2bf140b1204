//! The errors for an agent that does not become ready.

use crate::agent::startup::{FailureKind, StartupFailure, StartupState, StartupStep};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// Returns the error for an agent that cannot become ready.
pub fn startup_failure(namespace: &str, name: &str, failure: &StartupFailure) -> Problem {
    let code = match failure.kind {
        FailureKind::Volume => ErrorCode::VolumeNotProvisioned,
        FailureKind::PodCreation => ErrorCode::PodCreationDenied,
        FailureKind::Unschedulable(_) => ErrorCode::Unschedulable,
        FailureKind::ImagePull => ErrorCode::ImagePullFailed,
        FailureKind::Mount => ErrorCode::MountFailed,
        FailureKind::UserNamespaces => ErrorCode::NoUserNamespaces,
        FailureKind::Container => ErrorCode::ContainerCreationFailed,
        FailureKind::CrashLoop => ErrorCode::CrashLoop,
    };
    Problem::new(
        code,
        failure.description(namespace, name),
        failure.remedy(namespace, name),
    )
}

/// Returns the error for an agent that is not ready at the timeout and may still become ready. If a failure is suspected,
/// the remedy is that of the failure.
pub(super) fn startup_timed_out(
    namespace: &str,
    name: &str,
    step: StartupStep,
    state: &StartupState,
) -> Problem {
    let predecessor = state.predecessor().map(|pod| {
        format!(
            "; its previous pod {pod} is terminating, which takes until the builds on it have ended, and at most \
             `drain-timeout`"
        )
    });
    let remedy = if let Some(failure) = state.suspected_failure() {
        failure.remedy(namespace, name)
    } else if predecessor.is_some() {
        "Raise `timeout`: the next pod starts when the previous one is gone.".into()
    } else if let Some(unschedulable) = state.unschedulable() {
        unschedulable.remedy_for(namespace, name)
    } else {
        match step {
            _ if state.is_pod_refused() => {
                "Check the quota of the namespace, and its label pod-security.kubernetes.io/enforce, which must be \
                 privileged: no pod could be created."
            }
            StartupStep::VolumeBound => {
                "Check that the StorageClass exists and its CSI driver runs (on EKS the add-on \
                 aws-ebs-csi-driver), and that a node has room for the pod."
            }
            StartupStep::ImagePulled | StartupStep::ContainerStarted | StartupStep::Ready => {
                "Raise `timeout`, or run kubectl describe pod to see what the pod waits for."
            }
        }
        .into()
    };
    Problem::new(
        ErrorCode::AgentNotReady,
        format!(
            "Agent {namespace}/{name} did not become ready before the timeout. The next step is: {}{}. Latest events: {}.",
            step.name(),
            predecessor.unwrap_or_default(),
            state.latest_events(),
        ),
        remedy,
    )
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
    fn a_timeout_names_the_predecessor_that_drains() {
        let mut state = StartupState::default();
        let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        state.observe_pod(pod("a-1-1", &deleted, ""));
        state.observe_pod(pod(
            "a-1-2",
            &json!({}),
            "0/2 nodes are available: 2 Insufficient cpu.",
        ));
        let timeout = startup_timed_out("x", "a", StartupStep::VolumeBound, &state);
        let expected = "Agent x/a did not become ready before the timeout. The next step is: volume bound; its previous pod \
                        a-1-1 is terminating, which takes until the builds on it have ended, and at most \
                        `drain-timeout`. Latest events: ";
        assert!(timeout.what.starts_with(expected), "{}", timeout.what);
        assert!(timeout.remedy.contains("Raise `timeout`"), "{}", timeout.remedy);
    }

    #[test]
    fn a_timeout_has_the_remedy_for_an_unschedulable_pod() {
        let mut state = StartupState::default();
        state.observe_pod(pod(
            "a-1-2",
            &json!({}),
            "0/2 nodes are available: 2 Insufficient cpu.",
        ));
        let timeout = startup_timed_out("x", "a", StartupStep::VolumeBound, &state);
        assert!(
            timeout.remedy.contains("other pods use the resources"),
            "{}",
            timeout.remedy
        );
    }
}
