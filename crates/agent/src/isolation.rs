//! What keeps builds from the node.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSecurityContext, SeccompProfile, SecurityContext};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Nothing: root in the pod is root on the node.
    Privileged,
    /// BuildKit's rootless image: no root in the pod, and a user namespace inside of it
    /// (moby/buildkit, docs/rootless.md).
    Rootless,
    /// Root in the pod is nobody on the node: a user namespace around it (Kubernetes 1.33, containerd 2).
    UserNamespace,
}

/// As the rootless image has it; another uid needs another image (moby/buildkit, Dockerfile, target rootless).
const ROOTLESS_UID: i64 = 1000;

impl Isolation {
    pub const ALL: [Self; 3] = [Self::Privileged, Self::Rootless, Self::UserNamespace];

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

    pub fn default_image(self) -> String {
        match self {
            Self::Rootless => format!("{}-rootless", super::DEFAULT_IMAGE),
            Self::Privileged | Self::UserNamespace => super::DEFAULT_IMAGE.to_owned(),
        }
    }

    /// Where the volume is mounted.
    pub fn mount_path(self) -> &'static str {
        match self {
            Self::Rootless => "/home/user/.local/share/buildkit",
            Self::Privileged | Self::UserNamespace => "/var/lib/buildkit",
        }
    }

    /// Where buildkitd keeps everything. Rootless, one folder further down: fsGroup gives the top of the volume the bit
    /// setgid, and every folder that is made in it, those of images too, would inherit it.
    pub fn root(self) -> &'static str {
        match self {
            Self::Rootless => "/home/user/.local/share/buildkit/root",
            Self::Privileged | Self::UserNamespace => self.mount_path(),
        }
    }

    /// Where buildkitd looks for its configuration.
    pub(super) fn config_folder(self) -> &'static str {
        match self {
            Self::Rootless => "/home/user/.config/buildkit",
            Self::Privileged | Self::UserNamespace => "/etc/buildkit",
        }
    }

    pub(super) fn arguments(self) -> Option<Vec<String>> {
        // A pod has no /proc of its own to mount in a build's namespace, unless it is privileged.
        self.is_rootless()
            .then(|| vec!["--oci-worker-no-process-sandbox".into()])
    }

    pub(super) fn host_users(self) -> Option<bool> {
        (self == Self::UserNamespace).then_some(false)
    }

    pub(super) fn of_pod(self) -> Option<PodSecurityContext> {
        self.is_rootless().then(|| PodSecurityContext {
            fs_group: Some(ROOTLESS_UID),
            // A cache of a million files is not walked at each start.
            fs_group_change_policy: Some("OnRootMismatch".into()),
            ..Default::default()
        })
    }

    pub(super) fn of_container(self) -> SecurityContext {
        match self {
            // A pod with a user namespace is privileged in there, not on the node.
            Self::Privileged | Self::UserNamespace => SecurityContext {
                privileged: Some(true),
                ..Default::default()
            },
            // Both profiles forbid what makes a user namespace: unshare and mount.
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
