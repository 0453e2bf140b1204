//! How far an agent that is not ready yet has come.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::state;

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
    pub claim_bound: bool,
    /// Pods of the agent by name, terminating ones included.
    pub pods: std::collections::BTreeMap<String, Pod>,
    /// An event said so; kubelet reports an image that was present the same way.
    pub image_pulled: bool,
    /// The newest event about each kind of object, for somebody who waits.
    pub heard: std::collections::BTreeMap<String, String>,
}

impl Sight {
    /// The pod that serves or will: a ready one, else the youngest that is not going away or has ended.
    pub fn pod(&self) -> Option<&Pod> {
        let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone());
        let staying = self.pods.values().filter(|pod| {
            let ended = matches!(phase(pod).as_deref(), Some("Failed" | "Succeeded"));
            pod.metadata.deletion_timestamp.is_none() && !ended
        });
        staying.max_by_key(|pod| (state::is_ready(pod), pod.metadata.creation_timestamp.clone()))
    }

    fn status(&self) -> Option<&ContainerStatus> {
        let status = self.pod()?.status.as_ref()?;
        status.container_statuses.as_ref()?.first()
    }

    /// Whether a step is behind us. A later step implies the earlier ones: an event can be missed, and an agent
    /// made by hand may have no volume at all.
    pub fn done(&self, step: Step) -> bool {
        let running = self
            .status()
            .is_some_and(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
        let ready = self.pod().is_some_and(state::is_ready);
        match step {
            Step::VolumeBound => self.claim_bound || running || ready,
            Step::ImagePulled => self.image_pulled || running || ready,
            Step::ContainerStarted => running || ready,
            Step::Ready => ready,
        }
    }

    /// Whether a pod is on its way out. Until it has gone it holds buildkitd's lock, and its successor cannot start.
    fn draining(&self) -> bool {
        let mut pods = self.pods.values();
        pods.any(|pod| pod.metadata.deletion_timestamp.is_some())
    }

    /// The newest events in a line.
    pub fn latest(&self) -> String {
        let heard: Vec<&str> = self.heard.values().map(String::as_str).collect();
        if heard.is_empty() {
            "no event yet".into()
        } else {
            heard.join("; ")
        }
    }

    /// Why waiting longer is of no use, when it is not.
    pub fn hopeless(&self) -> Option<Hopeless> {
        let status = self.status()?;
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let message = waiting.message.clone().unwrap_or_default();
        match waiting.reason.as_deref()? {
            // The second state of a failing pull: kubelet tried and waits before it tries again.
            "ImagePullBackOff" | "InvalidImageName" => Some(Hopeless::Image {
                image: status.image.clone(),
                message,
            }),
            "CrashLoopBackOff" if crashes_at_start(status) && !self.draining() => {
                Some(Hopeless::Crash { message })
            }
            reason @ ("CreateContainerConfigError" | "CreateContainerError") => Some(Hopeless::Container {
                reason: reason.into(),
                message,
            }),
            _ => None,
        }
    }
}

/// Whether a container ends soon after its start, again and again. One that served for a while and was killed is also
/// made to wait by the kubelet, and comes back; so does one that found buildkitd's lock held by its predecessor.
fn crashes_at_start(status: &ContainerStatus) -> bool {
    let last = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    let lived = last.and_then(|t| Some(t.finished_at.as_ref()?.0.duration_since(t.started_at.as_ref()?.0)));
    status.restart_count >= 4 && lived.is_some_and(|l| l < SERVED)
}

/// A daemon that lived this long had started.
const SERVED: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

#[derive(Debug, PartialEq, Eq)]
pub enum Hopeless {
    Image { image: String, message: String },
    Crash { message: String },
    Container { reason: String, message: String },
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sight(state: Value, ready: bool) -> Sight {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
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
    fn states_that_do_not_heal() {
        let waiting = |reason: &str| sight(json!({"waiting": {"reason": reason, "message": "m"}}), false);
        assert_eq!(
            waiting("ImagePullBackOff").hopeless(),
            Some(Hopeless::Image {
                image: "moby/buildkit:x".into(),
                message: "m".into()
            })
        );
        assert_eq!(waiting("ErrImagePull").hopeless(), None);
        assert_eq!(waiting("ContainerCreating").hopeless(), None);
    }

    #[test]
    fn a_crash_at_start_is_not_a_restart() {
        let crash = |restarts: i32, seconds: u32| {
            let mut sight = sight(
                json!({"waiting": {"reason": "CrashLoopBackOff", "message": "m"}}),
                false,
            );
            let pod = sight.pods.get_mut("p").expect("pod");
            let statuses = pod.status.as_mut().expect("status").container_statuses.as_mut();
            let status = &mut statuses.expect("statuses")[0];
            status.restart_count = restarts;
            status.last_state = serde_json::from_value(json!({"terminated": {
                "exitCode": 1,
                "startedAt": "2026-01-01T00:00:00Z",
                "finishedAt": format!("2026-01-01T00:00:{seconds:02}Z")
            }}))
            .expect("state");
            sight.hopeless()
        };
        assert_eq!(crash(4, 1), Some(Hopeless::Crash { message: "m".into() }));
        assert_eq!(crash(3, 1), None);
        assert_eq!(crash(5, 30), None);
    }

    #[test]
    fn a_predecessor_that_drains_is_waited_for() {
        let crash = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let mut sight = sight(crash, false);
        let pod = sight.pods.get_mut("p").expect("pod");
        let statuses = pod.status.as_mut().expect("status").container_statuses.as_mut();
        let status = &mut statuses.expect("statuses")[0];
        status.restart_count = 9;
        status.last_state = serde_json::from_value(json!({"terminated": {
            "exitCode": 1, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"
        }}))
        .expect("state");
        assert!(sight.hopeless().is_some());
        let old = json!({"metadata": {"name": "old", "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        sight
            .pods
            .insert("old".into(), serde_json::from_value(old).expect("pod"));
        assert_eq!(sight.hopeless(), None);
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
