//! How builds are isolated from the node.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, SeccompProfile, SecurityContext};

/// How builds are isolated from the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// No isolation: root in the pod is root on the node.
    Privileged,
    /// BuildKit's rootless image: no root in the pod, and a user namespace inside it
    /// (moby/buildkit, docs/rootless.md).
    Rootless,
    /// The pod runs in a user namespace, so root in it is unprivileged on the node (Kubernetes 1.33, containerd 2).
    UserNamespace,
}

/// The user of the rootless image; another uid needs another image (moby/buildkit, Dockerfile, target rootless).
const ROOTLESS_UID: i64 = 1000;

impl Isolation {
    pub const ALL: [Self; 3] = [Self::Privileged, Self::Rootless, Self::UserNamespace];

    /// Returns the value of the input `isolation`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Rootless => "rootless",
            Self::UserNamespace => "user-namespace",
        }
    }

    pub fn is_rootless(self) -> bool {
        self == Self::Rootless
    }

    /// Returns the image that agents run if the input `image` is not set.
    pub fn default_image(self) -> String {
        match self {
            Self::Rootless => format!("{}-rootless", super::DEFAULT_IMAGE),
            Self::Privileged | Self::UserNamespace => super::DEFAULT_IMAGE.to_owned(),
        }
    }

    /// Returns where the volume is mounted.
    pub fn mount_path(self) -> &'static str {
        match self {
            Self::Rootless => "/home/user/.local/share/buildkit",
            Self::Privileged | Self::UserNamespace => "/var/lib/buildkit",
        }
    }

    /// Returns buildkitd's root directory. For rootless it is a subdirectory of the volume: fsGroup sets the setgid bit on the
    /// top directory of the volume, and all directories created in it, also in images, would inherit the bit.
    pub fn root(self) -> &'static str {
        match self {
            Self::Rootless => "/home/user/.local/share/buildkit/root",
            Self::Privileged | Self::UserNamespace => self.mount_path(),
        }
    }

    /// Returns the directory in which buildkitd looks for its configuration.
    pub(super) fn config_dir(self) -> &'static str {
        match self {
            Self::Rootless => "/home/user/.config/buildkit",
            Self::Privileged | Self::UserNamespace => "/etc/buildkit",
        }
    }

    /// Returns the command-line arguments of buildkitd.
    pub(super) fn args(self) -> Option<Vec<String>> {
        // Only a privileged pod can mount a new /proc in the namespace of a build.
        self.is_rootless()
            .then(|| vec!["--oci-worker-no-process-sandbox".into()])
    }

    /// Returns `hostUsers` of the pod.
    pub(super) fn host_users(self) -> Option<bool> {
        (self == Self::UserNamespace).then_some(false)
    }

    /// Returns the security context of the pod.
    pub(super) fn pod_security_context(self) -> Option<PodSecurityContext> {
        self.is_rootless().then(|| PodSecurityContext {
            fs_group: Some(ROOTLESS_UID),
            // Changing the group of a million cached files at each start would take minutes.
            fs_group_change_policy: Some("OnRootMismatch".into()),
            ..Default::default()
        })
    }

    /// Returns the security context of the containers.
    pub(super) fn container_security_context(self) -> SecurityContext {
        match self {
            // A pod in a user namespace is privileged in that namespace, not on the node.
            Self::Privileged | Self::UserNamespace => SecurityContext {
                privileged: Some(true),
                ..Default::default()
            },
            // Both default profiles forbid unshare and mount, which creating a user namespace needs.
            Self::Rootless => SecurityContext {
                run_as_user: Some(ROOTLESS_UID),
                run_as_group: Some(ROOTLESS_UID),
                seccomp_profile: Some(SeccompProfile {
                    type_: "Unconfined".into(),
                    ..Default::default()
                }),
                app_armor_profile: Some(AppArmorProfile {
                    type_: "Unconfined".into(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        }
    }
}
