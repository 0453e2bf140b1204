//! The BuildKit agents: their Kubernetes objects, which agent serves a job, and what their state means.
//!
//! Pure functions of values: no client, no clock, no I/O.

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

/// The default image. Pinned, so that two jobs never deploy different daemons; a release of this program raises it.
pub const DEFAULT_IMAGE: &str = "moby/buildkit:v0.34.2";

/// The default namespace: one of its own, because whoever may deploy an agent can mount every Secret of its namespace.
pub const DEFAULT_NAMESPACE: &str = "buildkit";

/// Returns the hint for a request that failed in this namespace: in the default one, the agent may be in the namespace
/// `default`, where guides for buildx's Kubernetes driver deploy it.
pub fn other_namespace_hint(namespace: &str) -> &'static str {
    if namespace == DEFAULT_NAMESPACE {
        " If the agent is in the namespace default, set `namespace: default`."
    } else {
        ""
    }
}

/// The default requests. Without any, the pod starts on a full node and is the first to be evicted there. They are small
/// enough for a node with 2 CPUs and 4 GiB.
pub const DEFAULT_CPU: &str = "1";
pub const DEFAULT_MEMORY: &str = "2Gi";

/// The field manager of server-side apply.
pub const FIELD_MANAGER: &str = "remote-buildkit";

/// The configuration of one agent, from the inputs.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The name of the Deployment, the ConfigMap and the PersistentVolumeClaim, and of buildx's node.
    pub name: String,
    /// The input `name`, which all agents of the inputs share.
    pub instance: String,
    pub namespace: String,
    pub image: String,
    pub isolation: Isolation,
    /// A Kubernetes quantity, as typed.
    pub storage: String,
    pub storage_bytes: Bytes,
    pub storage_class: Option<String>,
    /// The request of CPU; there is no limit. `None` requests nothing.
    pub cpu: Option<String>,
    /// The request of memory. `None` requests nothing.
    pub memory: Option<String>,
    pub memory_limit: Option<String>,
    /// The architecture of its nodes, as Kubernetes names it, if the input `platforms` names it.
    pub arch: Option<String>,
    /// The architecture of its nodes if no input names one: the runner's, or that of the existing agent.
    pub default_arch: Option<String>,
    pub drain: Duration,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Taint>,
    pub service_account: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub buildkitd: buildkitd::BuildkitdSettings,
    /// For fields of the Deployment that have no input.
    pub patch: Option<patch::DeploymentPatch>,
}

/// A taint that the pod tolerates. An absent value or effect matches any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    pub key: String,
    pub value: Option<String>,
    pub effect: Option<String>,
}

#[cfg(any(test, feature = "testing"))]
impl Spec {
    /// Returns the configuration of the default inputs.
    pub fn example() -> Self {
        Self {
            name: "remote-buildkit-agent".into(),
            instance: "remote-buildkit-agent".into(),
            namespace: DEFAULT_NAMESPACE.into(),
            image: DEFAULT_IMAGE.into(),
            isolation: Isolation::Privileged,
            storage: "50Gi".into(),
            storage_bytes: Bytes(50 << 30),
            storage_class: None,
            cpu: Some(DEFAULT_CPU.into()),
            memory: Some(DEFAULT_MEMORY.into()),
            memory_limit: None,
            arch: None,
            default_arch: None,
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
