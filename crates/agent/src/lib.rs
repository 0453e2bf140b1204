//! The agents: what they are made of, which one serves whom, and what their state means. Pure: values in, values out;
//! no client, no clock.

pub mod buildkitd;
pub mod changes;
pub mod group;
pub mod isolation;
pub mod manifests;
pub mod patch;
pub mod platform;
pub mod quantity;
pub mod routing;
pub mod startup;
pub mod state;
pub mod volume;

use std::collections::BTreeMap;
use std::time::Duration;

use isolation::Isolation;
use quantity::Bytes;

/// Pinned, so that two jobs never deploy different daemons; raised with a release of ours.
pub const DEFAULT_IMAGE: &str = "moby/buildkit:v0.34.2";

/// The one field manager of server-side apply.
pub const FIELD_MANAGER: &str = "remote-buildkit";

/// What the inputs say of one agent.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name of the Deployment, ConfigMap and PersistentVolumeClaim, and of buildx's node.
    pub name: String,
    /// The input `name`, which agents of several platforms, or several of one, have in common.
    pub instance: String,
    pub namespace: String,
    pub image: String,
    pub isolation: Isolation,
    /// As typed, a Kubernetes quantity.
    pub storage: String,
    pub storage_bytes: Bytes,
    pub storage_class: Option<String>,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    /// As Kubernetes calls the architecture of a node.
    pub arch: Option<String>,
    pub drain: Duration,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Taint>,
    pub service_account: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub buildkitd: buildkitd::BuildkitdSettings,
    /// On the Deployment, for what has no input.
    pub patch: Option<patch::DeploymentPatch>,
}

/// A taint to tolerate; what is absent is tolerated whatever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: Option<String>,
    pub effect: Option<String>,
}

#[cfg(any(test, feature = "testing"))]
impl Spec {
    /// What the inputs say by default.
    pub fn example() -> Self {
        Self {
            name: "remote-buildkit-agent".into(),
            instance: "remote-buildkit-agent".into(),
            namespace: "default".into(),
            image: DEFAULT_IMAGE.into(),
            isolation: Isolation::Privileged,
            storage: "50Gi".into(),
            storage_bytes: Bytes(50 << 30),
            storage_class: None,
            cpu: None,
            memory: None,
            arch: None,
            drain: Duration::from_secs(3600),
            node_selector: BTreeMap::new(),
            tolerations: vec![],
            service_account: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            buildkitd: buildkitd::BuildkitdSettings::default(),
            patch: None,
        }
    }
}
