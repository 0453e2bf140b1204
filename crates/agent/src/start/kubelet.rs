//! What says that a pod on its node will not become ready: the kubelet, in the pod's status and in events.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::crash;
use super::doubts::{MOMENT, SETTLING};
use super::heard::{Word, newest};
use super::progress::Sight;
use super::verdict::{Doubt, Hopeless};
use super::words::{missing_object, no_such_image, no_user_namespaces, passes};

/// For a pull that is under way, or whose end we would not hear of, after one that failed.
const PULLING: Duration = Duration::from_secs(180);

impl Sight {
    pub(super) fn node_says(&self, pod: &Pod) -> Option<Doubt> {
        let of_container = |status| {
            self.image_doubt(pod, status)
                .or_else(|| self.end_doubt(pod, status))
                .or_else(|| container_doubt(status))
        };
        self.current()
            .and_then(of_container)
            .or_else(|| self.start_doubt(pod))
    }

    fn end_doubt(&self, pod: &Pod, status: &ContainerStatus) -> Option<Doubt> {
        let end = crash::last_end(status)?;
        let message = end.message.as_deref().unwrap_or_default();
        let log = crash::last_lines(message);
        if no_user_namespaces(message) {
            return Doubt::after(MOMENT, Hopeless::UserNamespaces { message: log });
        }
        let before = self.restarts_before(pod, &status.name);
        let repeats = crash::repeats(status, end, before, self.draining());
        if !repeats || (crash::never_started(end) && passes(message)) {
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

    /// What the kubelet says of a pod on its node whose containers it has not begun. Its last word counts, whatever it
    /// is: those before it may be mended.
    fn start_doubt(&self, pod: &Pod) -> Option<Doubt> {
        let state = self.current().and_then(|s| s.state.as_ref());
        let begun = state.is_some_and(|s| s.running.is_some() || s.terminated.is_some());
        let word = newest(self.words(pod).filter(|w| w.reporter == "kubelet"))?;
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

    /// An image that there is none of is final. What else a registry answers may change, as the credentials of a node
    /// that has just joined: two pulls have to fail, which they do within 45 s if they fail at once.
    fn image_doubt(&self, pod: &Pod, status: &ContainerStatus) -> Option<Doubt> {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let said = waiting.message.as_deref().unwrap_or_default();
        let reason = waiting.reason.as_deref()?;
        let pulls = self.words(pod).filter(|w| w.reporter == "kubelet");
        let pulls: Vec<&Word> = pulls.filter(|w| is_of_pull(w, &status.image)).collect();
        let has_failed = |w: &&Word| w.reason == "Failed";
        let failed = newest(pulls.iter().copied().filter(has_failed));
        let pull = newest(pulls.into_iter());
        let message = match reason {
            "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" => said,
            // The kubelet waits before it tries again. Until 1.32, and after a restart, it does not say why; the event does.
            "ImagePullBackOff" if said.contains("\": ") => said,
            "ImagePullBackOff" => &failed?.message,
            _ => return None,
        };
        let patience = if reason == "InvalidImageName" || no_such_image(message) {
            MOMENT
        } else if passes(message) {
            return None;
        } else if reason == "ErrImageNeverPull" || pull.as_ref().is_some_and(has_failed) {
            SETTLING
        } else {
            PULLING
        };
        let (image, message) = (status.image.clone(), message.to_owned());
        Doubt::after(patience, Hopeless::Image { image, message })
    }
}

/// That a pull of this image begins or has failed.
fn is_of_pull(word: &Word, image: &str) -> bool {
    let pulls =
        word.reason == "Pulling" || (word.reason == "Failed" && word.message.contains("to pull image"));
    pulls && word.message.contains(&format!("\"{image}\""))
}

/// A Secret or a ConfigMap may come a moment later.
fn container_doubt(status: &ContainerStatus) -> Option<Doubt> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.clone().unwrap_or_default();
    match waiting.reason.as_deref()? {
        "CreateContainerConfigError" | "CreateContainerError" if no_user_namespaces(&message) => {
            Doubt::after(MOMENT, Hopeless::UserNamespaces { message })
        }
        reason @ ("CreateContainerConfigError" | "CreateContainerError") if !passes(&message) => {
            let reason = reason.into();
            Doubt::after(SETTLING, Hopeless::Container { reason, message })
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
        let pull = json!({"waiting": {"reason": "ErrImagePull", "message": "x: not found"}});
        assert_eq!(doubt(&statuses(pull)), Some(("image", 3)));
        assert_eq!(doubt(&statuses(json!({"running": {}}))), None);
        assert_eq!(doubt(&statuses(json!({"terminated": {"exitCode": 0}}))), None);
    }

    const HOST: &str = "dial tcp: lookup r.example: no such host";
    const DENIED: &str = "pull access denied, repository does not exist or may require authorization";
    const ABSENT: &str = "failed to resolve reference \"moby/buildkit:x\": r.example/x:1: not found";
    const SLOW: &str = "dial tcp 10.0.0.1:443: i/o timeout";

    /// What the kubelet makes of it while it waits.
    fn backs_off(why: &str) -> String {
        format!("Back-off pulling image \"moby/buildkit:x\": ErrImagePull: {why}")
    }

    fn pulls(sight: &mut Sight, reason: &str, message: &str) {
        hear(sight, ("Pod", "a-1-2"), "kubelet", reason, message);
    }

    #[test]
    fn images_that_there_are_none_of() {
        let image = Some(("image", 3));
        assert_eq!(doubt(&waiting("ErrImagePull", ABSENT)), image);
        assert_eq!(doubt(&waiting("ImagePullBackOff", &backs_off(ABSENT))), image);
        assert_eq!(doubt(&waiting("InvalidImageName", "")), image);
        assert_eq!(doubt(&waiting("ErrImageNeverPull", "")), Some(("image", 45)));
        assert_eq!(doubt(&waiting("ErrImagePull", SLOW)), None);
        assert_eq!(doubt(&waiting("ImagePullBackOff", &backs_off(SLOW))), None);
        assert_eq!(doubt(&waiting("ContainerCreating", "")), None);
    }

    #[test]
    fn what_else_a_registry_says_may_change() {
        for why in [HOST, DENIED] {
            for mut sight in [
                waiting("ErrImagePull", why),
                waiting("ImagePullBackOff", &backs_off(why)),
            ] {
                pulls(
                    &mut sight,
                    "Failed",
                    &format!("Failed to pull image \"moby/buildkit:x\": {why}"),
                );
                assert_eq!(doubt(&sight), Some(("image", 45)), "{why}");
                pulls(&mut sight, "Pulling", "Pulling image \"moby/buildkit:x\"");
                assert_eq!(doubt(&sight), Some(("image", 180)), "{why}");
            }
        }
    }

    /// As from a kubelet before 1.32.
    #[test]
    fn a_back_off_without_a_reason() {
        let mut sight = waiting("ImagePullBackOff", "Back-off pulling image \"moby/buildkit:x\"");
        assert_eq!(doubt(&sight), None);
        let failed = |why: &str| format!("Failed to pull image \"moby/buildkit:x\": {why}");
        pulls(&mut sight, "Failed", &failed(SLOW));
        assert_eq!(doubt(&sight), None);
        pulls(&mut sight, "Failed", &failed(DENIED));
        assert_eq!(doubt(&sight), Some(("image", 45)));
        // Tried again, and still in back-off to the status.
        pulls(&mut sight, "Pulling", "Pulling image \"moby/buildkit:x\"");
        assert_eq!(doubt(&sight), Some(("image", 180)));
        pulls(&mut sight, "Failed", &failed(ABSENT));
        pulls(&mut sight, "Failed", "Error: ImagePullBackOff");
        assert_eq!(doubt(&sight), Some(("image", 3)));
    }

    #[test]
    fn containers_that_are_not_created() {
        assert_eq!(
            doubt(&waiting("CreateContainerConfigError", "secret \"x\" not found")),
            Some(("container", 45))
        );
        for (reason, message) in [
            ("CreateContainerError", "context deadline exceeded"),
            (
                "CreateContainerConfigError",
                "services have not yet been read at least once, cannot construct envvars",
            ),
        ] {
            assert_eq!(doubt(&waiting(reason, message)), None, "{message}");
        }
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
            "toml: expected ']'\nfailed to parse config\nmain.main\n\t/src/main.go:1\n",
        );
        let why = crash.doubt().map(|d| d.why);
        let log = "toml: expected ']'\nfailed to parse config".into();
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
        assert_eq!(heard("FailedMount", mount), Some(("mount", 45)));
        let attached = "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) a-1-1";
        assert_eq!(heard("FailedAttachVolume", attached), None);
    }

    #[test]
    fn what_the_kubelet_said_before_is_mended() {
        let mut sight = waiting("ContainerCreating", "");
        let mount = "MountVolume.SetUp failed for volume \"c\" : configmap \"absent\" not found";
        pulls(&mut sight, "FailedMount", mount);
        assert_eq!(doubt(&sight), Some(("mount", 45)));
        pulls(&mut sight, "Pulling", "Pulling image \"moby/buildkit:x\"");
        assert_eq!(doubt(&sight), None);
    }
}
