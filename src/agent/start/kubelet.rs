//! What says that a pod on its node will not become ready: the kubelet, in the pod's status and in events.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::crash;
use super::doubts::{MOMENT, SETTLING};
use super::heard::newest;
use super::progress::Sight;
use super::verdict::{Doubt, Hopeless};
use super::words::{missing_object, no_user_namespaces, not_pullable, passes};

impl Sight {
    pub(super) fn node_says(&self, pod: &Pod) -> Option<Doubt> {
        let of_container = |status| {
            image_doubt(status)
                .or_else(|| self.end_doubt(status))
                .or_else(|| container_doubt(status))
        };
        self.current()
            .and_then(of_container)
            .or_else(|| self.start_doubt(pod))
    }

    fn end_doubt(&self, status: &ContainerStatus) -> Option<Doubt> {
        let end = crash::last_end(status)?;
        let message = end.message.as_deref().unwrap_or_default();
        let log = crash::last_lines(message);
        if no_user_namespaces(message) {
            return Doubt::after(MOMENT, Hopeless::UserNamespaces { message: log });
        }
        if !crash::repeats(status, end, self.draining()) || (crash::never_started(end) && passes(message)) {
            return None;
        }
        Doubt::after(
            MOMENT,
            match &end.reason {
                Some(reason) if crash::never_started(end) => Hopeless::Container {
                    reason: reason.clone(),
                    message: message.into(),
                },
                _ => Hopeless::Crash { log },
            },
        )
    }

    /// What the kubelet says of a pod on its node whose containers it has not begun.
    fn start_doubt(&self, pod: &Pod) -> Option<Doubt> {
        let state = self.current().and_then(|s| s.state.as_ref());
        let begun = state.is_some_and(|s| s.running.is_some() || s.terminated.is_some());
        let word = newest(
            self.words(pod)
                .filter(|w| w.reporter == "kubelet" && w.reason.starts_with("Failed")),
        )?;
        match word.reason.as_str() {
            _ if begun => None,
            "FailedCreatePodSandBox" if no_user_namespaces(&word.message) => {
                Doubt::after(MOMENT, Hopeless::UserNamespaces { message: word.text() })
            }
            // Other mounts wait for a driver that registers, or for another node to let go of the volume.
            "FailedMount" if missing_object(&word.message) => {
                Doubt::after(SETTLING, Hopeless::Mount { event: word.text() })
            }
            _ => None,
        }
    }
}

fn image_doubt(status: &ContainerStatus) -> Option<Doubt> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.clone().unwrap_or_default();
    let hopeless = match waiting.reason.as_deref()? {
        "InvalidImageName" | "ErrImageNeverPull" => true,
        // The first state of a failing pull.
        "ErrImagePull" => not_pullable(&message),
        // The second: the kubelet waits before it tries again.
        "ImagePullBackOff" => !passes(&message),
        _ => false,
    };
    hopeless.then_some(())?;
    let image = status.image.clone();
    Doubt::after(MOMENT, Hopeless::Image { image, message })
}

fn container_doubt(status: &ContainerStatus) -> Option<Doubt> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.clone().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "CreateContainerConfigError" | "CreateContainerError" if no_user_namespaces(&message) => {
            Doubt::after(MOMENT, Hopeless::UserNamespaces { message })
        }
        reason @ ("CreateContainerConfigError" | "CreateContainerError") if !passes(&message) => {
            let reason = reason.into();
            Doubt::after(MOMENT, Hopeless::Container { reason, message })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::doubts::tests::{container, doubt, hear, sight, waiting};
    use super::*;

    /// A container that prepares has the image first.
    #[test]
    fn a_container_that_prepares_counts() {
        let statuses = |state: Value| {
            let of = |name: &str, state: Value| json!([{"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
            sight(json!({
                "initContainerStatuses": of("wait-for-lock", state),
                "containerStatuses": of("buildkitd", json!({"waiting": {"reason": "PodInitializing"}}))
            }))
        };
        let pull = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
        assert_eq!(doubt(&statuses(pull)), Some(("image", 3)));
        assert_eq!(doubt(&statuses(json!({"running": {}}))), None);
        assert_eq!(doubt(&statuses(json!({"terminated": {"exitCode": 0}}))), None);
    }

    #[test]
    fn images() {
        let image = Some(("image", 3));
        let absent = "failed to resolve reference \"r.example/x:1\": r.example/x:1: not found";
        let host = "Back-off pulling image \"r.example/x:1\": ErrImagePull: dial tcp: lookup r.example: no such host";
        let slow =
            "Back-off pulling image \"r.example/x:1\": ErrImagePull: dial tcp 10.0.0.1:443: i/o timeout";
        assert_eq!(doubt(&waiting("ErrImagePull", absent)), image);
        assert_eq!(doubt(&waiting("ErrImagePull", host)), None);
        assert_eq!(doubt(&waiting("ImagePullBackOff", host)), image);
        assert_eq!(doubt(&waiting("ImagePullBackOff", slow)), None);
        assert_eq!(doubt(&waiting("InvalidImageName", "")), image);
        assert_eq!(doubt(&waiting("ContainerCreating", "")), None);
    }

    #[test]
    fn containers_that_are_not_created() {
        let container = Some(("container", 3));
        assert_eq!(
            doubt(&waiting("CreateContainerConfigError", "secret \"x\" not found")),
            container
        );
        assert_eq!(
            doubt(&waiting("CreateContainerError", "context deadline exceeded")),
            None
        );
    }

    #[test]
    fn ends() {
        let ended = |reason: &str, message: &str| {
            let end = json!({"exitCode": 1, "reason": reason, "message": message,
                "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"});
            container(json!({"terminated": end}))
        };
        let crash = ended(
            "Error",
            "buildkitd: unknown snapshotter name: \"zfs\"\nmain.main\n\t/src/main.go:1\n",
        );
        let why = crash.doubt().map(|d| d.why);
        let log = "buildkitd: unknown snapshotter name: \"zfs\"".into();
        assert_eq!(why, Some(Hopeless::Crash { log }));
        assert_eq!(
            doubt(&ended("StartError", "exec: \"/x\": not there")),
            Some(("container", 3))
        );
        let rootless = "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: no space left on \
                        device";
        assert_eq!(doubt(&ended("Error", rootless)), Some(("user namespaces", 3)));
    }

    #[test]
    fn pods_that_are_not_started() {
        let heard = |reason: &str, message: &str| {
            let mut sight = waiting("ContainerCreating", "");
            hear(&mut sight, ("Pod", "a-1-2"), "kubelet", reason, message);
            doubt(&sight)
        };
        let users = "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces";
        assert_eq!(
            heard("FailedCreatePodSandBox", users),
            Some(("user namespaces", 3))
        );
        assert_eq!(
            heard("FailedCreatePodSandBox", "cni plugin not initialized"),
            None
        );
        let mount = "MountVolume.SetUp failed for volume \"c\" : configmap \"absent\" not found";
        assert_eq!(heard("FailedMount", mount), Some(("mount", 30)));
        let attached = "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) a-1-1";
        assert_eq!(heard("FailedAttachVolume", attached), None);
    }
}
