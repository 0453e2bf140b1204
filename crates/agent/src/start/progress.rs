//! How far an agent that is not ready yet has come.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};

use super::super::state;
use super::heard::{Heard, Word, newest};
use super::scheduling;
use super::words::one_line;

/// The steps of an agent's start, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    VolumeBound,
    ImagePulled,
    ContainerStarted,
    Ready,
}

impl Step {
    pub const ALL: [Self; 4] = [
        Self::VolumeBound,
        Self::ImagePulled,
        Self::ContainerStarted,
        Self::Ready,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::VolumeBound => "volume bound",
            Self::ImagePulled => "image pulled",
            Self::ContainerStarted => "container started",
            Self::Ready => "ready",
        }
    }
}

/// What is known of an agent at a moment.
#[derive(Debug, Default)]
pub struct Sight {
    pub claim: Option<Box<PersistentVolumeClaim>>,
    /// Pods of the agent by name, terminating ones included.
    pub pods: BTreeMap<String, Pod>,
    pub heard: Heard,
    /// How often the containers of a pod had restarted when it was first seen, by the names of both.
    pub(super) restarts: BTreeMap<(String, String), i32>,
    /// How the API server last failed to answer a watch.
    pub trouble: Option<String>,
}

impl Sight {
    /// Takes a pod as it is now.
    pub fn see(&mut self, pod: Pod) {
        let Some(name) = pod.metadata.name.clone() else {
            return;
        };
        let status = pod.status.iter();
        let containers = status.flat_map(|s| [&s.init_container_statuses, &s.container_statuses]);
        for container in containers.flatten().flatten() {
            let key = (name.clone(), container.name.clone());
            self.restarts.entry(key).or_insert(container.restart_count);
        }
        self.pods.insert(name, pod);
    }

    /// How often a container of a pod had restarted before we looked.
    pub(super) fn restarts_before(&self, pod: &Pod, container: &str) -> i32 {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let known = self.restarts.get(&(name, container.to_owned()));
        known.copied().unwrap_or_default()
    }

    /// The pod that serves or will: a ready one, else the youngest that is not going away or has ended.
    pub fn pod(&self) -> Option<&Pod> {
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone());
        let staying = self.pods.values().filter(|pod| {
            let ended = matches!(phase(pod).as_deref(), Some("Failed" | "Succeeded"));
            pod.metadata.deletion_timestamp.is_none() && !ended
        });
        staying.max_by_key(|pod| (state::is_ready(pod), pod.metadata.creation_timestamp.clone()))
    }

    /// Of the container buildx talks to.
    pub(super) fn status(&self) -> Option<&ContainerStatus> {
        let pod = self.pod()?;
        let mut statuses = pod.status.as_ref()?.container_statuses.as_ref()?.iter();
        statuses.find(|s| Some(s.name.as_str()) == state::container(pod))
    }

    /// Of the container that is at work, or is to be next: one that prepares, as long as there is one, or buildkitd's. A
    /// native sidecar is one that prepares until it runs, and then never ends.
    pub(super) fn current(&self) -> Option<&ContainerStatus> {
        let pod = self.pod()?;
        let status = pod.status.as_ref()?;
        let runs = |s: &ContainerStatus| s.state.as_ref().is_some_and(|s| s.running.is_some());
        let ended_well = |s: &ContainerStatus| {
            let end = s.state.as_ref().and_then(|s| s.terminated.as_ref());
            end.is_some_and(|end| end.exit_code == 0)
        };
        let mut preparing = status.init_container_statuses.iter().flatten();
        preparing
            .find(|s| !(ended_well(s) || runs(s) && is_sidecar(pod, &s.name)))
            .or_else(|| self.status())
    }

    fn claim_bound(&self) -> bool {
        let status = self.claim.as_ref().and_then(|c| c.status.as_ref());
        status.and_then(|s| s.phase.as_deref()) == Some("Bound")
    }

    /// Kubelet reports an image that was present the same way.
    fn image_pulled(&self) -> bool {
        self.pod_words().any(|w| w.reason == "Pulled")
    }

    fn pod_words(&self) -> impl Iterator<Item = &Word> {
        self.heard
            .of_kind("Pod")
            .filter(|w| self.pods.contains_key(&w.name))
    }

    /// Whether a step is behind us. A later step implies the earlier ones: an event can be missed, and an agent
    /// made by hand may have no volume at all.
    pub fn done(&self, step: Step) -> bool {
        let running = self
            .status()
            .is_some_and(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
        let ready = self.pod().is_some_and(state::is_ready);
        match step {
            Step::VolumeBound => self.claim_bound() || running || ready,
            Step::ImagePulled => self.image_pulled() || running || ready,
            Step::ContainerStarted => running || ready,
            Step::Ready => ready,
        }
    }

    /// The pods that are on their way out.
    fn ending(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values().filter(|pod| !state::stays(pod))
    }

    /// The name of one. Its successor waits for it.
    pub fn predecessor(&self) -> Option<&str> {
        self.ending().find_map(|pod| pod.metadata.name.as_deref())
    }

    /// Whether a pod is on its way out. Until it has gone it holds buildkitd's lock, and its successor cannot start.
    pub(super) fn draining(&self) -> bool {
        self.ending().next().is_some()
    }

    /// Whether the agent's controller says that it may not make a pod.
    pub fn no_pod_made(&self) -> bool {
        self.pod().is_none()
            && newest(self.heard.of_kind("ReplicaSet")).is_some_and(|w| w.reason == "FailedCreate")
    }

    /// The newest events in a line, one about each kind of object.
    pub fn latest(&self) -> String {
        let of =
            |kind: &'static str| newest(self.heard.of_kind(kind).filter(|w| w.matters())).map(Word::text);
        let scheduler = || Some(format!("FailedScheduling: {}", scheduling::refused(self.pod()?)?));
        let pod = newest(self.pod_words()).map(Word::text).or_else(scheduler);
        let server = self.trouble.as_ref().map(|t| format!("API server: {t}"));
        let heard = [
            server,
            of("Deployment"),
            of("PersistentVolumeClaim"),
            pod,
            of("ReplicaSet"),
        ];
        let heard: Vec<String> = heard.into_iter().flatten().collect();
        if heard.is_empty() {
            "no event yet".into()
        } else {
            one_line(&heard.join("; "))
        }
    }
}

/// Whether a container that prepares is one that stays (`restartPolicy: Always`).
fn is_sidecar(pod: &Pod, container: &str) -> bool {
    let spec = pod.spec.as_ref().and_then(|s| s.init_containers.as_ref());
    let mut stay = spec.into_iter().flatten();
    stay.any(|c| c.name == container && c.restart_policy.as_deref() == Some("Always"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::heard::tests::event;
    use super::*;

    fn sight(state: Value, ready: bool) -> Sight {
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
        Sight {
            pods: [("p".to_owned(), pod)].into(),
            ..Sight::default()
        }
    }

    fn done(sight: &Sight) -> Vec<Step> {
        Step::ALL.into_iter().filter(|s| sight.done(*s)).collect()
    }

    #[test]
    fn steps_follow_the_pod() {
        let creating = sight(json!({"waiting": {"reason": "ContainerCreating"}}), false);
        assert_eq!(done(&creating), []);
        let running = sight(json!({"running": {}}), false);
        assert_eq!(done(&running), Step::ALL[..3]);
        let ready = sight(json!({"running": {}}), true);
        assert_eq!(done(&ready), Step::ALL);
    }

    #[test]
    fn the_first_container_of_the_pod_counts() {
        let mut sight = sight(json!({"waiting": {}}), false);
        let pod = sight.pods.get_mut("p").expect("pod");
        let statuses = pod.status.as_mut().expect("status").container_statuses.as_mut();
        let statuses = statuses.expect("statuses");
        // The kubelet sorts them by name.
        let mut sidecar = statuses[0].clone();
        sidecar.name = "a-sidecar".into();
        statuses.insert(0, sidecar);
        assert_eq!(sight.status().map(|s| s.name.as_str()), Some("buildkitd"));
    }

    #[test]
    fn a_native_sidecar_that_runs_is_not_waited_for() {
        let current = |policy: Option<&str>, state: Value| {
            let mut sight = sight(json!({"waiting": {"reason": "ImagePullBackOff"}}), false);
            let pod = sight.pods.get_mut("p").expect("pod");
            let spec = json!({
                "initContainers": [{"name": "mesh", "restartPolicy": policy}], "containers": [{"name": "buildkitd"}]
            });
            pod.spec = serde_json::from_value(spec).expect("spec");
            let mesh = json!([{
                "name": "mesh", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state
            }]);
            let status = pod.status.as_mut().expect("status");
            status.init_container_statuses = serde_json::from_value(mesh).expect("statuses");
            sight.current().map(|s| s.name.clone()).expect("current")
        };
        assert_eq!(current(Some("Always"), json!({"running": {}})), "buildkitd");
        assert_eq!(current(Some("Always"), json!({"waiting": {}})), "mesh");
        assert_eq!(current(None, json!({"running": {}})), "mesh");
    }

    #[test]
    fn restarts_count_from_the_first_look() {
        let mut seen = Sight::default();
        let mut pod = sight(json!({"running": {}}), false)
            .pods
            .remove("p")
            .expect("pod");
        for restarts in [5, 6] {
            let status = pod.status.as_mut().and_then(|s| s.container_statuses.as_mut());
            status.expect("statuses")[0].restart_count = restarts;
            seen.see(pod.clone());
        }
        assert_eq!(seen.restarts_before(&pod, "buildkitd"), 5);
        assert_eq!(seen.restarts_before(&pod, "another"), 0);
    }

    #[test]
    fn a_predecessor_is_named() {
        let mut sight = sight(json!({"running": {}}), false);
        assert_eq!(sight.predecessor(), None);
        let mut pod = sight.pods["p"].clone();
        pod.metadata.name = Some("q".into());
        pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
        sight.see(pod);
        assert_eq!(sight.predecessor(), Some("q"));
        assert!(sight.draining());
    }

    #[test]
    fn the_latest_of_each_kind() {
        let mut sight = sight(json!({"waiting": {"reason": "ContainerCreating"}}), false);
        assert_eq!(sight.latest(), "no event yet");
        for (object, reason, message) in [
            (("PersistentVolumeClaim", "p"), "ProvisioningFailed", "first"),
            (("PersistentVolumeClaim", "p"), "ProvisioningFailed", "second"),
            (("Pod", "p"), "FailedMount", "third"),
            // Of an agent named p-q.
            (("Pod", "p-q-1-2"), "FailedMount", "fourth"),
        ] {
            sight.heard.hear(&event(object, "x", reason, message), "p");
        }
        assert_eq!(sight.latest(), "ProvisioningFailed: second");
        let pod = sight.pods.remove("p").expect("pod");
        sight.pods.insert("p-1-2".into(), pod);
        sight
            .heard
            .hear(&event(("Pod", "p-1-2"), "x", "FailedMount", "fifth"), "p");
        assert_eq!(sight.latest(), "ProvisioningFailed: second; FailedMount: fifth");
    }

    #[test]
    fn a_ready_pod_is_not_hidden_by_a_younger_one() {
        let pod = |name: &str, created: &str, phase: &str, ready: &str| -> (String, Pod) {
            let pod = json!({
                "metadata": {"name": name, "creationTimestamp": created},
                "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}
            });
            (name.to_owned(), serde_json::from_value(pod).expect("pod"))
        };
        let chosen = |pods: Vec<(String, Pod)>| {
            let sight = Sight {
                pods: pods.into_iter().collect(),
                ..Sight::default()
            };
            sight.pod().and_then(|p| p.metadata.name.clone())
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
