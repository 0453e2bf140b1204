//! Which startup failure is suspected, by the state of an agent: which message counts, and when none does.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::events::{AgentEvent, newest};
use super::failure::{
    AUTOSCALER_GRACE, FailureKind, NODE_JOIN_GRACE, NODE_RETURN_GRACE, Source, StartupFailure,
};
use super::scheduling::{self, AutoscalerDecision, Unschedulable};
use super::state::StartupState;
use super::termination;

impl StartupState {
    /// Returns the failure that keeps the agent from starting, unless waiting can help. It holds when it has lasted for
    /// its grace period.
    pub fn suspected_failure(&self) -> Option<StartupFailure> {
        self.claim_failure().or_else(|| match self.pod() {
            None => self.pod_creation_failure(),
            Some(pod) => match scheduling::unschedulable_message(pod) {
                Some(message) => self.scheduling_failure(pod, message),
                None => self.node_failure(pod),
            },
        })
    }

    /// Returns the failure to provision the volume.
    fn claim_failure(&self) -> Option<StartupFailure> {
        let claim = self.claim.as_ref()?;
        let phase = claim.status.as_ref()?.phase.as_deref()?;
        let name = claim.metadata.name.as_deref()?;
        if phase == "Bound" {
            return None;
        }
        // Events about a deleted claim of the same name are kept for an hour.
        let events = self.events.about("PersistentVolumeClaim", name);
        let events: Vec<&AgentEvent> = events.filter(|e| e.uid == claim.metadata.uid).collect();
        let last = newest(events.iter().copied());
        let text = last.map(AgentEvent::text).unwrap_or_default();
        if let Some(lost) = StartupFailure::find(Source::ClaimPhase, phase, "", &text) {
            return Some(lost);
        }
        // Before each attempt the driver reports that it provisions.
        let is_attempt =
            |e: &&AgentEvent| matches!(e.reason.as_str(), "Provisioning" | "ExternalProvisioning");
        if let Some(answer) = newest(events.iter().copied().filter(|e| !is_attempt(e)))
            && let Some(denied) = failure_of(Source::ProvisionerEvent, answer)
        {
            // The driver retries every few minutes in the end: an answer from before the watch may be out of date.
            return answer.recurred.then_some(denied);
        }
        failure_of(Source::ClaimEvent, last?)
    }

    /// Returns the failure to create the pod: a quota, Pod Security, an admission webhook, a missing service account.
    /// The controller retries with growing delays. Not permanent at once: the default service account of a namespace is
    /// created a moment after it, and the event may be about a deleted ReplicaSet of the same name.
    fn pod_creation_failure(&self) -> Option<StartupFailure> {
        let event = newest(self.events.of_kind("ReplicaSet"))?;
        if self.is_draining() {
            return None;
        }
        failure_of(Source::ReplicaSetEvent, event)
    }

    /// Returns the failure to find a node.
    fn scheduling_failure(&self, pod: &Pod, message: &str) -> Option<StartupFailure> {
        // The claim is deleted with the predecessor that uses it, and nothing creates it again for this pod.
        let sentence = scheduling::first_sentence(message);
        let deleted = StartupFailure::find(Source::PodScheduled, "Unschedulable", message, sentence);
        if deleted.is_some() {
            return deleted;
        }
        let unschedulable = Unschedulable::parse(message)?;
        // A terminating predecessor has the volume and the room; and other pods end, too.
        if self.is_draining() || !unschedulable.permanent {
            return None;
        }
        // Without permission to watch events, an autoscaler's answer would be missed as well.
        self.pod_events(pod).find(|e| e.reason == "FailedScheduling")?;
        let decline = match AutoscalerDecision::of(pod, self.pod_events(pod)) {
            AutoscalerDecision::ScalesUp => return None,
            AutoscalerDecision::Declines(event) if scheduling::will_retry(event) => return None,
            AutoscalerDecision::Declines(event) => Some(event),
            AutoscalerDecision::Unknown => None,
        };
        let grace_period = match decline {
            None if self.may_have_had_a_node(pod) => NODE_RETURN_GRACE,
            _ if unschedulable.unnamed_taint => NODE_JOIN_GRACE,
            _ => AUTOSCALER_GRACE,
        };
        let autoscaler = match decline {
            Some(event) => format!("no node will be added: {}: {}", event.reporter, event.message),
            None => "no autoscaler has announced a new node".into(),
        };
        Some(StartupFailure {
            message: format!("{sentence}; {autoscaler}"),
            grace_period,
            remedy: unschedulable.remedy(),
            kind: FailureKind::Unschedulable(unschedulable.causes),
        })
    }

    /// Returns whether the agent may have had a node before. A node group replaces such a node in two or three minutes,
    /// without an event about the pod. A claim that the job has no permission to read counts as bound.
    fn may_have_had_a_node(&self, pod: &Pod) -> bool {
        let Some(claim) = &self.claim else {
            let volumes = pod.spec.as_ref().and_then(|s| s.volumes.as_ref());
            return volumes.is_some_and(|v| v.iter().any(|v| v.persistent_volume_claim.is_some()));
        };
        claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound")
    }

    /// Returns the failure of a pod on its node, as the kubelet reports it in the status of the pod and in events.
    fn node_failure(&self, pod: &Pod) -> Option<StartupFailure> {
        let of_container = |status| {
            self.image_failure(pod, status)
                .or_else(|| self.termination_failure(pod, status))
                .or_else(|| waiting_failure(status))
        };
        self.current_container()
            .and_then(of_container)
            .or_else(|| self.kubelet_failure(pod))
    }

    /// Returns the failure to pull the image. That it does not exist is final. Other answers of a registry may change, as
    /// while a node that has just joined has no credentials: two pulls must fail, within 45 s if they fail at once.
    fn image_failure(&self, pod: &Pod, status: &ContainerStatus) -> Option<StartupFailure> {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let reported = waiting.message.as_deref().unwrap_or_default();
        let reason = waiting.reason.as_deref()?;
        let pulls = self.pod_events(pod).filter(|e| e.reporter == "kubelet");
        let pulls: Vec<&AgentEvent> = pulls.filter(|e| is_about_pull(e, &status.image)).collect();
        let has_failed = |e: &&AgentEvent| e.reason == "Failed";
        let last_failed = newest(pulls.iter().copied().filter(has_failed));
        let last_pull = newest(pulls.into_iter());
        let message = match reason {
            "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => reported,
            // The kubelet waits before it retries. Until 1.32, and after a restart, its status lacks the cause.
            "ImagePullBackOff" if reported.contains("\": ") => reported,
            "ImagePullBackOff" => &last_failed?.message,
            _ => return None,
        };
        let cause = if message.is_empty() { reason } else { message };
        let shown = format!("{}: {cause}", status.image);
        let progress = match last_pull {
            Some(pull) if has_failed(&pull) => Source::FailedImagePull,
            _ => Source::ImagePullInProgress,
        };
        StartupFailure::find(Source::ImagePull, reason, message, &shown)
            .or_else(|| StartupFailure::find(progress, reason, message, &shown))
    }

    /// Returns the failure of a container that has terminated and will again.
    fn termination_failure(&self, pod: &Pod, status: &ContainerStatus) -> Option<StartupFailure> {
        let end = termination::last_termination(status)?;
        let reason = end.reason.as_deref().unwrap_or_default();
        let message = end.message.as_deref().unwrap_or_default();
        let log = termination::last_lines(message);
        if let Some(failure) = StartupFailure::find(Source::Termination, reason, message, &log) {
            return Some(failure);
        }
        let restarts = self.restarts_at_first_observation(pod, &status.name);
        if !termination::will_repeat(status, end, restarts, self.is_draining()) {
            None
        } else if termination::is_start_error(end) {
            let shown = format!("{reason}: {message}");
            StartupFailure::find(Source::RepeatedStartError, reason, message, &shown)
        } else {
            StartupFailure::find(Source::RepeatedExit, reason, message, &log)
        }
    }

    /// Returns the failure that the kubelet reports about a pod whose containers have not begun. Only its newest event
    /// counts, because the causes of earlier events may be fixed.
    fn kubelet_failure(&self, pod: &Pod) -> Option<StartupFailure> {
        let state = self.current_container().and_then(|s| s.state.as_ref());
        if state.is_some_and(|s| s.running.is_some() || s.terminated.is_some()) {
            return None;
        }
        let event = newest(self.pod_events(pod).filter(|e| e.reporter == "kubelet"))?;
        failure_of(Source::KubeletEvent, event)
    }
}

/// Returns the failure that an event means.
fn failure_of(source: Source, event: &AgentEvent) -> Option<StartupFailure> {
    StartupFailure::find(source, &event.reason, &event.message, &event.text())
}

/// Returns whether an event says that a pull of this image begins or has failed.
fn is_about_pull(event: &AgentEvent, image: &str) -> bool {
    let is_pull =
        event.reason == "Pulling" || (event.reason == "Failed" && event.message.contains("to pull image"));
    is_pull && event.message.contains(&format!("\"{image}\""))
}

/// Returns the failure of a container that waits for something other than its image. A Secret or a ConfigMap may be
/// created a moment later.
fn waiting_failure(status: &ContainerStatus) -> Option<StartupFailure> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let reason = waiting.reason.as_deref()?;
    let shown = format!("{reason}: {message}");
    StartupFailure::find(Source::ContainerWaiting, reason, message, &shown)
}
