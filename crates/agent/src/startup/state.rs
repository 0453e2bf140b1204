//! The state of an agent that is not ready yet.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};

use super::super::state;
use super::events::{AgentEvent, EventLog, newest};
use super::message_patterns::one_line;
use super::scheduling::{self, Unschedulable};

/// The steps of an agent's startup, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartupStep {
    VolumeBound,
    ImagePulled,
    ContainerStarted,
    Ready,
}

impl StartupStep {
    pub const ALL: [Self; 4] = [
        Self::VolumeBound,
        Self::ImagePulled,
        Self::ContainerStarted,
        Self::Ready,
    ];

    /// Returns the step as the job's log shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::VolumeBound => "volume bound",
            Self::ImagePulled => "image pulled",
            Self::ContainerStarted => "container started",
            Self::Ready => "ready",
        }
    }

    /// Returns what an agent waits for before this step is completed.
    pub fn awaited(self) -> &'static str {
        match self {
            Self::VolumeBound => "the volume to be bound",
            Self::ImagePulled => "the image to be pulled",
            Self::ContainerStarted => "the container to start",
            Self::Ready => "readiness",
        }
    }

    /// Returns the step before this one, if there is one.
    pub fn previous(self) -> Option<Self> {
        Self::ALL.into_iter().rfind(|step| *step < self)
    }
}

/// What the watches have reported about an agent so far.
#[derive(Debug, Default)]
pub struct StartupState {
    pub claim: Option<Box<PersistentVolumeClaim>>,
    /// Pods of the agent by name, terminating ones included.
    pub pods: BTreeMap<String, Pod>,
    pub events: EventLog,
    /// The restart count of each container when its pod was first observed, by the names of pod and container.
    pub(super) initial_restarts: BTreeMap<(String, String), i32>,
    /// The last error of a watch, until the API server answers again.
    pub api_error: Option<String>,
}

impl StartupState {
    /// Records a pod in its present state.
    pub fn observe_pod(&mut self, pod: Pod) {
        let Some(name) = pod.metadata.name.clone() else {
            return;
        };
        let status = pod.status.iter();
        let containers = status.flat_map(|s| [&s.init_container_statuses, &s.container_statuses]);
        for container in containers.flatten().flatten() {
            let key = (name.clone(), container.name.clone());
            self.initial_restarts
                .entry(key)
                .or_insert(container.restart_count);
        }
        self.pods.insert(name, pod);
    }

    /// Returns how often a container of a pod had restarted when the pod was first observed.
    pub(super) fn restarts_at_first_observation(&self, pod: &Pod, container: &str) -> i32 {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let known = self.initial_restarts.get(&(name, container.to_owned()));
        known.copied().unwrap_or_default()
    }

    /// Returns the pod that serves or will serve: a ready one, else the youngest that neither terminates nor has ended.
    pub fn pod(&self) -> Option<&Pod> {
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone());
        let staying = self.pods.values().filter(|pod| {
            let ended = matches!(phase(pod).as_deref(), Some("Failed" | "Succeeded"));
            pod.metadata.deletion_timestamp.is_none() && !ended
        });
        staying.max_by_key(|pod| (state::is_ready(pod), pod.metadata.creation_timestamp.clone()))
    }

    /// Returns the status of the container that buildx connects to.
    fn main_container(&self) -> Option<&ContainerStatus> {
        let pod = self.pod()?;
        let mut statuses = pod.status.as_ref()?.container_statuses.as_ref()?.iter();
        statuses.find(|s| Some(s.name.as_str()) == state::main_container(pod))
    }

    /// Returns the status of the container that runs now or starts next: an init container, as long as one is left, else
    /// buildkitd's. A native sidecar counts as an init container until it runs; it never ends.
    pub(super) fn current_container(&self) -> Option<&ContainerStatus> {
        let pod = self.pod()?;
        let status = pod.status.as_ref()?;
        let runs = |s: &ContainerStatus| s.state.as_ref().is_some_and(|s| s.running.is_some());
        let has_succeeded = |s: &ContainerStatus| {
            let end = s.state.as_ref().and_then(|s| s.terminated.as_ref());
            end.is_some_and(|end| end.exit_code == 0)
        };
        let mut init_containers = status.init_container_statuses.iter().flatten();
        init_containers
            .find(|s| !(has_succeeded(s) || runs(s) && is_sidecar(pod, &s.name)))
            .or_else(|| self.main_container())
    }

    fn is_claim_bound(&self) -> bool {
        let status = self.claim.as_ref().and_then(|c| c.status.as_ref());
        status.and_then(|s| s.phase.as_deref()) == Some("Bound")
    }

    /// Returns whether the image is on the node. The kubelet reports an image that was already there in the same way.
    fn is_image_pulled(&self) -> bool {
        self.events_of_known_pods().any(|event| event.reason == "Pulled")
    }

    fn events_of_known_pods(&self) -> impl Iterator<Item = &AgentEvent> {
        self.events
            .of_kind("Pod")
            .filter(|event| self.pods.contains_key(&event.name))
    }

    /// Returns the events about one pod.
    pub(super) fn pod_events<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a AgentEvent> {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.events.about("Pod", name)
    }

    /// Returns whether a step is done. A later step implies the earlier ones: an event can be missed, and an agent that
    /// was created by hand may have no volume.
    pub fn is_done(&self, step: StartupStep) -> bool {
        let running = self
            .main_container()
            .is_some_and(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
        let ready = self.pod().is_some_and(state::is_ready);
        match step {
            StartupStep::VolumeBound => self.is_claim_bound() || running || ready,
            StartupStep::ImagePulled => self.is_image_pulled() || running || ready,
            StartupStep::ContainerStarted => running || ready,
            StartupStep::Ready => ready,
        }
    }

    /// Returns the first step that is not done; `None` when the agent is ready.
    pub fn next_step(&self) -> Option<StartupStep> {
        StartupStep::ALL.into_iter().find(|step| !self.is_done(*step))
    }

    fn terminating_pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().filter(|pod| !state::is_active(pod))
    }

    /// Returns the name of a pod that terminates. Its successor waits for it.
    pub fn predecessor(&self) -> Option<&str> {
        self.terminating_pods()
            .find_map(|pod| pod.metadata.name.as_deref())
    }

    /// Returns whether a pod terminates. Until it is gone it holds buildkitd's lock, and its successor cannot start.
    pub(super) fn is_draining(&self) -> bool {
        self.terminating_pods().next().is_some()
    }

    /// Returns whether the ReplicaSet controller reports that it cannot create a pod.
    pub fn is_pod_refused(&self) -> bool {
        self.pod().is_none()
            && newest(self.events.of_kind("ReplicaSet")).is_some_and(|event| event.reason == "FailedCreate")
    }

    /// Returns why the pod has no node, if the scheduler has reported a reason.
    pub fn unschedulable(&self) -> Option<Unschedulable> {
        Unschedulable::parse(scheduling::unschedulable_message(self.pod()?)?)
    }

    /// Returns the newest events on one line, one for each kind of object, or that there is none.
    pub fn latest_events(&self) -> String {
        self.notable_events().unwrap_or_else(|| "no event yet".into())
    }

    /// Returns the newest events on one line, one for each kind of object, if there are any.
    pub fn notable_events(&self) -> Option<String> {
        let of_kind = |kind: &'static str| {
            newest(self.events.of_kind(kind).filter(|event| event.is_notable())).map(AgentEvent::text)
        };
        let scheduler = || {
            let message = scheduling::unschedulable_message(self.pod()?)?;
            Some(format!("FailedScheduling: {message}"))
        };
        let pod = newest(self.events_of_known_pods())
            .map(AgentEvent::text)
            .or_else(scheduler);
        let server = self
            .api_error
            .as_ref()
            .map(|error| format!("API server: {error}"));
        let latest = [
            server,
            of_kind("Deployment"),
            of_kind("PersistentVolumeClaim"),
            pod,
            of_kind("ReplicaSet"),
        ];
        let latest: Vec<String> = latest.into_iter().flatten().collect();
        (!latest.is_empty()).then(|| one_line(&latest.join("; ")))
    }
}

/// Returns whether an init container is a native sidecar (`restartPolicy: Always`).
fn is_sidecar(pod: &Pod, container: &str) -> bool {
    let spec = pod.spec.as_ref().and_then(|s| s.init_containers.as_ref());
    let mut containers = spec.into_iter().flatten();
    containers.any(|c| c.name == container && c.restart_policy.as_deref() == Some("Always"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::events::tests::event;
    use super::*;

    /// Returns the state of an agent with one pod.
    fn startup(state: Value, ready: bool) -> StartupState {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "buildkitd"}]},
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "containerStatuses": [{
                    "name": "buildkitd", "image": "moby/buildkit:x", "imageID": "", "ready": ready,
                    "restartCount": 0, "state": state
                }]
            }
        }))
        .expect("pod");
        StartupState {
            pods: [("p".to_owned(), pod)].into(),
            ..StartupState::default()
        }
    }

    fn done_steps(startup: &StartupState) -> Vec<StartupStep> {
        StartupStep::ALL
            .into_iter()
            .filter(|step| startup.is_done(*step))
            .collect()
    }

    #[test]
    fn steps_follow_the_pod() {
        let creating = startup(json!({"waiting": {"reason": "ContainerCreating"}}), false);
        assert_eq!(done_steps(&creating), []);
        let running = startup(json!({"running": {}}), false);
        assert_eq!(done_steps(&running), StartupStep::ALL[..3]);
        let ready = startup(json!({"running": {}}), true);
        assert_eq!(done_steps(&ready), StartupStep::ALL);
    }

    #[test]
    fn the_main_container_is_the_first_of_the_pod() {
        let mut startup = startup(json!({"waiting": {}}), false);
        let pod = startup.pods.get_mut("p").expect("pod");
        let statuses = pod.status.as_mut().expect("status").container_statuses.as_mut();
        let statuses = statuses.expect("statuses");
        // The kubelet sorts the statuses by name.
        let mut sidecar = statuses[0].clone();
        sidecar.name = "a-sidecar".into();
        statuses.insert(0, sidecar);
        assert_eq!(
            startup.main_container().map(|s| s.name.as_str()),
            Some("buildkitd")
        );
    }

    #[test]
    fn a_running_native_sidecar_is_not_the_current_container() {
        let current = |policy: Option<&str>, state: Value| {
            let mut startup = startup(json!({"waiting": {"reason": "ImagePullBackOff"}}), false);
            let pod = startup.pods.get_mut("p").expect("pod");
            let spec = json!({
                "initContainers": [{"name": "mesh", "restartPolicy": policy}], "containers": [{"name": "buildkitd"}]
            });
            pod.spec = serde_json::from_value(spec).expect("spec");
            let mesh = json!([{
                "name": "mesh", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state
            }]);
            let status = pod.status.as_mut().expect("status");
            status.init_container_statuses = serde_json::from_value(mesh).expect("statuses");
            startup
                .current_container()
                .map(|s| s.name.clone())
                .expect("current")
        };
        assert_eq!(current(Some("Always"), json!({"running": {}})), "buildkitd");
        assert_eq!(current(Some("Always"), json!({"waiting": {}})), "mesh");
        assert_eq!(current(None, json!({"running": {}})), "mesh");
    }

    #[test]
    fn restarts_count_from_the_first_observation() {
        let mut seen = StartupState::default();
        let mut pod = startup(json!({"running": {}}), false)
            .pods
            .remove("p")
            .expect("pod");
        for restarts in [5, 6] {
            let status = pod.status.as_mut().and_then(|s| s.container_statuses.as_mut());
            status.expect("statuses")[0].restart_count = restarts;
            seen.observe_pod(pod.clone());
        }
        assert_eq!(seen.restarts_at_first_observation(&pod, "buildkitd"), 5);
        assert_eq!(seen.restarts_at_first_observation(&pod, "another"), 0);
    }

    #[test]
    fn the_predecessor_is_named() {
        let mut startup = startup(json!({"running": {}}), false);
        assert_eq!(startup.predecessor(), None);
        let mut pod = startup.pods["p"].clone();
        pod.metadata.name = Some("q".into());
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
        startup.observe_pod(pod);
        assert_eq!(startup.predecessor(), Some("q"));
        assert!(startup.is_draining());
    }

    #[test]
    fn latest_events_are_one_of_each_kind() {
        let mut startup = startup(json!({"waiting": {"reason": "ContainerCreating"}}), false);
        assert_eq!(startup.latest_events(), "no event yet");
        assert_eq!(startup.notable_events(), None);
        for (object, reason, message) in [
            (("PersistentVolumeClaim", "p"), "ProvisioningFailed", "first"),
            (("PersistentVolumeClaim", "p"), "ProvisioningFailed", "second"),
            (("Pod", "p"), "FailedMount", "third"),
            // About the agent p-q.
            (("Pod", "p-q-1-2"), "FailedMount", "fourth"),
        ] {
            startup.events.record(&event(object, "x", reason, message), "p");
        }
        assert_eq!(startup.latest_events(), "ProvisioningFailed: second");
        let pod = startup.pods.remove("p").expect("pod");
        startup.pods.insert("p-1-2".into(), pod);
        startup
            .events
            .record(&event(("Pod", "p-1-2"), "x", "FailedMount", "fifth"), "p");
        assert_eq!(
            startup.latest_events(),
            "ProvisioningFailed: second; FailedMount: fifth"
        );
    }

    #[test]
    fn a_ready_pod_is_chosen_over_a_younger_one() {
        let pod = |name: &str, created: &str, phase: &str, ready: &str| -> (String, Pod) {
            let pod = json!({
                "metadata": {"name": name, "creationTimestamp": created},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
            });
            (name.to_owned(), serde_json::from_value(pod).expect("pod"))
        };
        let chosen = |pods: Vec<(String, Pod)>| {
            let startup = StartupState {
                pods: pods.into_iter().collect(),
                ..StartupState::default()
            };
            startup.pod().and_then(|p| p.metadata.name.clone())
        };
        let ready = pod("ready", "2026-01-01T00:00:00Z", "Running", "True");
        let pending = pod("pending", "2026-01-01T00:00:09Z", "Pending", "False");
        let failed = pod("failed", "2026-01-01T00:00:10Z", "Failed", "False");
        assert_eq!(
            chosen(vec![ready, pending.clone(), failed.clone()]).as_deref(),
            Some("ready")
        );
        assert_eq!(chosen(vec![pending, failed.clone()]).as_deref(), Some("pending"));
        assert_eq!(chosen(vec![failed]), None);
    }
}
