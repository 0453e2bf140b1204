//! Patterns of the messages of Kubernetes, container runtimes, registries and CSI drivers, which come without codes.

fn contains_any(text: &str, patterns: &[&str]) -> bool {
    let text = text.to_lowercase();
    patterns.iter().any(|pattern| text.contains(pattern))
}

/// Returns a text on one line, for printing: a line that begins with `::` would be a workflow command.
pub(super) fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Matches any message.
pub(super) fn any(_: &str) -> bool {
    true
}

/// Matches what is not [`is_transient`].
pub(super) fn is_permanent(message: &str) -> bool {
    !is_transient(message)
}

/// Matches a quota of the namespace that is used up, unless the API server could not tell.
pub(super) fn exceeds_quota(message: &str) -> bool {
    is_permanent(message) && message.contains("exceeded quota")
}

/// Matches `storageclass.storage.k8s.io "tape" not found`, from the persistent volume controller.
pub(super) fn is_storage_class_not_found(message: &str) -> bool {
    message.contains("storageclass") && message.contains("not found")
}

/// Matches a claim without a class in a cluster without a default class.
pub(super) fn lacks_default_storage_class(message: &str) -> bool {
    message.contains("no storage class is set")
}

/// Matches a request that a CSI driver always rejects.
pub(super) fn is_access_denied(message: &str) -> bool {
    let patterns = [
        "code = invalidargument",
        "code = permissiondenied",
        "code = unauthenticated",
        "unauthorizedoperation",
        "accessdenied",
        "is not authorized to perform",
    ];
    contains_any(message, &patterns)
}

/// Matches the answer of a registry that does not have the image, or not for this platform. Not a denial: a node that
/// has just joined may not have its credentials yet.
pub(super) fn is_image_not_found(message: &str) -> bool {
    let patterns = ["manifest unknown", "no match for platform", "invalid reference"];
    // At the end of containerd's message: elsewhere it is a credential helper or a host that is not found.
    let absent = message.trim_end().ends_with(": not found") || contains_any(message, &patterns);
    absent && !is_transient(message)
}

/// Matches `MountVolume.SetUp failed for volume "config" : configmap "buildkitd" not found`, and a missing key of one.
pub(super) fn is_mount_source_not_found(message: &str) -> bool {
    let names_object = contains_any(message, &["configmap \"", "secret \""]);
    (names_object && message.contains("not found")) || message.contains("references non-existent")
}

/// Matches a transient failure: of the network, or of a server that is overloaded or starting.
pub(super) fn is_transient(message: &str) -> bool {
    let patterns = [
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
    contains_any(message, &patterns)
}

/// Matches a node without user namespaces: the kubelet's message for `hostUsers: false`, those of containerd and
/// RootlessKit, and the kernel's errors: no space left for a namespace above `user.max_user_namespaces`, or not permitted
/// to an unprivileged process.
pub(super) fn lacks_user_namespaces(message: &str) -> bool {
    let patterns = [
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
    contains_any(message, &patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_registries() {
        for message in [
            "failed to resolve reference \"r.example/x:1\": r.example/x:1: not found",
            "failed to resolve image: no match for platform in manifest: not found",
            "manifest unknown: manifest tagged by \"1\" is not found",
        ] {
            assert!(is_image_not_found(message), "{message}");
        }
        for message in [
            "pull access denied, repository does not exist or may require authorization: server message: \
             insufficient_scope: authorization failed",
            "unexpected status from HEAD request to https://r.example/v2/x/manifests/1: 401 Unauthorized",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "error getting credentials: exec: \"docker-credential-x\": executable file not found in $PATH, out: ``",
        ] {
            assert!(
                !is_image_not_found(message) && !is_transient(message),
                "{message}"
            );
        }
        for message in [
            "dial tcp 10.0.0.1:443: i/o timeout",
            "dial tcp 10.0.0.1:443: connect: connection refused",
            "unexpected status: 503 Service Unavailable",
            "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
        ] {
            assert!(!is_image_not_found(message) && is_transient(message), "{message}");
        }
    }

    #[test]
    fn messages_of_drivers() {
        assert!(is_storage_class_not_found(
            "storageclass.storage.k8s.io \"tape\" not found"
        ));
        assert!(is_access_denied(
            "failed to provision volume with StorageClass \"gp3\": rpc error: code = Internal desc = Could not create \
             volume \"pvc-1\": operation error EC2: CreateVolume, api error UnauthorizedOperation: You are not \
             authorized to perform this operation."
        ));
        assert!(!is_access_denied(
            "failed to provision volume with StorageClass \"gp3\": rpc error: code = DeadlineExceeded desc = context \
             deadline exceeded"
        ));
        assert!(is_mount_source_not_found(
            "MountVolume.SetUp failed for volume \"c\" : configmap \"absent\" not found"
        ));
        assert!(!is_mount_source_not_found(
            "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) a-1-2"
        ));
        assert!(!is_mount_source_not_found(
            "MountVolume.MountDevice failed for volume \"pvc-1\" : kubernetes.io/csi: attacher.MountDevice failed to \
             create newCsiDriverClient: driver name ebs.csi.aws.com not found in the list of registered CSI drivers"
        ));
    }

    #[test]
    fn nodes_without_user_namespaces() {
        for message in [
            "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces",
            "Failed to create pod sandbox: the feature gate \"UserNamespacesSupport\" is disabled: can't set \
             spec.HostUsers",
            "failed to create network namespace for sandbox: failed to start noop process for unshare: fork/exec \
             /proc/self/exe: no space left on device",
            "[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: operation not permitted",
        ] {
            assert!(lacks_user_namespaces(message), "{message}");
        }
        assert!(!lacks_user_namespaces(
            "write /var/lib/buildkit/x: no space left on device"
        ));
    }
}
