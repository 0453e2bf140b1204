//! The agent: what it is made of and what its state means. Pure: values in, values out; no client, no clock.

pub mod buildkitd;
mod crash;
mod doubts;
pub mod heard;
mod kubelet;
pub mod manifests;
pub mod progress;
pub mod quantity;
pub mod scheduling;
pub mod state;
pub mod verdict;
mod words;

use quantity::Bytes;

/// Pinned, so that two jobs never deploy different daemons; raised with a release of ours.
pub const DEFAULT_IMAGE: &str = "moby/buildkit:v0.34.2";

/// The one field manager of server-side apply.
pub const FIELD_MANAGER: &str = "remote-buildkit";

/// What the inputs say of the agent.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name of the Deployment, ConfigMap and PersistentVolumeClaim, and of buildx's node.
    pub name: String,
    pub namespace: String,
    pub image: String,
    /// As typed, a Kubernetes quantity.
    pub storage: String,
    pub storage_bytes: Bytes,
    pub storage_class: Option<String>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
}
