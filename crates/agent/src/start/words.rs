//! What the words of Kubernetes, of runtimes, registries and drivers mean: they have no codes that reach us.

fn contains_any(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|w| text.contains(w))
}

/// What is printed of them: a line that the cluster began would be a command to a workflow.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// `storageclass.storage.k8s.io "tape" not found`, of the persistent volume controller.
pub(super) fn no_such_class(message: &str) -> bool {
    message.contains("storageclass") && message.contains("not found")
}

/// What a CSI driver does not do however often it is asked.
pub(super) fn denied(message: &str) -> bool {
    let words = [
        "code = invalidargument",
        "code = permissiondenied",
        "code = unauthenticated",
        "unauthorizedoperation",
        "accessdenied",
        "is not authorized to perform",
    ];
    contains_any(message, &words)
}

/// A registry that answered, and has no such image, or none for this platform. Not that it refuses us: a node that has
/// just joined may not have its credentials yet.
pub(super) fn no_such_image(message: &str) -> bool {
    let words = ["manifest unknown", "no match for platform", "invalid reference"];
    // At the end of what containerd says: elsewhere it is a helper or a host that is not found.
    let absent = message.trim_end().ends_with(": not found") || contains_any(message, &words);
    absent && !passes(message)
}

/// `MountVolume.SetUp failed for volume "config" : configmap "buildkitd" not found`, or of a key that it lacks.
pub(super) fn missing_object(message: &str) -> bool {
    let of_ours = contains_any(message, &["configmap \"", "secret \""]);
    (of_ours && message.contains("not found")) || message.contains("references non-existent")
}

/// The network, or a server that is busy or starts.
pub(super) fn passes(message: &str) -> bool {
    let words = [
        "deadline exceeded",
        "timeout",
        "timed out",
        "connection refused",
        "connection reset",
        "unexpected eof",
        "too many requests",
        "internal server error",
        "bad gateway",
        "service unavailable",
        "server misbehaving",
        // The kubelet, just after its start.
        "have not yet been read",
        "temporary failure",
        "failed calling webhook",
        "is reserved for",
    ];
    contains_any(message, &words)
}

/// The kubelet's words for `hostUsers: false`, those of containerd and rootlesskit, and the kernel's, which has no
/// space left for a namespace above `user.max_user_namespaces` and may forbid one to whom has no privilege.
pub(super) fn no_user_namespaces(message: &str) -> bool {
    let words = [
        "does not support user namespaces",
        "can't set spec.hostusers",
        "max_user_namespaces",
        "failed to setup uid/gid map",
        "fork/exec /proc/self/exe: no space left on device",
        "fork/exec /proc/self/exe: operation not permitted",
        "fork/exec /proc/self/exe: permission denied",
        // A kernel before 5.19.
        "doesn't support idmap mounts",
    ];
    contains_any(message, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries() {
        for message in [
            "failed to resolve reference \"r.example/x:1\": r.example/x:1: not found",
            "failed to resolve image: no match for platform in manifest: not found",
            "manifest unknown: manifest tagged by \"1\" is not found",
        ] {
            assert!(no_such_image(message), "{message}");
        }
        for message in [
            "pull access denied, repository does not exist or may require authorization: server message: \
             insufficient_scope: authorization failed",
            "unexpected status from HEAD request to https://r.example/v2/x/manifests/1: 401 Unauthorized",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "error getting credentials: exec: \"docker-credential-x\": executable file not found in $PATH, out: ``",
        ] {
            assert!(!no_such_image(message) && !passes(message), "{message}");
        }
        for message in [
            "dial tcp 10.0.0.1:443: i/o timeout",
            "dial tcp 10.0.0.1:443: connect: connection refused",
            "unexpected status: 503 Service Unavailable",
            "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
        ] {
            assert!(!no_such_image(message) && passes(message), "{message}");
        }
    }

    #[test]
    fn drivers() {
        assert!(no_such_class("storageclass.storage.k8s.io \"tape\" not found"));
        assert!(denied(
            "failed to provision volume with StorageClass \"gp3\": rpc error: code = Internal desc = Could not create \
             volume \"pvc-1\": operation error EC2: CreateVolume, api error UnauthorizedOperation: You are not \
             authorized to perform this operation."
        ));
        assert!(!denied(
            "failed to provision volume with StorageClass \"gp3\": rpc error: code = DeadlineExceeded desc = context \
             deadline exceeded"
        ));
        assert!(missing_object(
            "MountVolume.SetUp failed for volume \"c\" : configmap \"absent\" not found"
        ));
        assert!(!missing_object(
            "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) a-1-2"
        ));
        assert!(!missing_object(
            "MountVolume.MountDevice failed for volume \"pvc-1\" : kubernetes.io/csi: attacher.MountDevice failed to \
             create newCsiDriverClient: driver name ebs.csi.aws.com not found in the list of registered CSI drivers"
        ));
    }

    #[test]
    fn user_namespaces() {
        for message in [
            "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces",
            "Failed to create pod sandbox: the feature gate \"UserNamespacesSupport\" is disabled: can't set \
             spec.HostUsers",
            "failed to create network namespace for sandbox: failed to start noop process for unshare: fork/exec \
             /proc/self/exe: no space left on device",
            "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: operation not permitted",
        ] {
            assert!(no_user_namespaces(message), "{message}");
        }
        assert!(!no_user_namespaces(
            "write /var/lib/buildkit/x: no space left on device"
        ));
    }
}
