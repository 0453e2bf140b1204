//! The file of a builder: `instances/NAME` in buildx's directory (docker/buildx, store/nodegroup.go).

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::platform::Platform;

/// A builder of the kubernetes driver.
#[derive(Debug, Clone)]
pub struct Builder {
    pub name: String,
    pub namespace: String,
    /// The nodes. A build without a platform runs on the first one.
    pub nodes: Vec<Node>,
    /// How long a build waits for a pod if none is ready.
    pub timeout: Duration,
}

/// A node of a builder, which is a Deployment. buildx takes the name of the Deployment from the node, not from the
/// endpoint.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    /// The platforms that are built on this node instead of being emulated on another one. If empty, buildx uses the
    /// platforms that the daemon reports (docker/buildx, build/resolver: only platforms in this list are a perfect
    /// match).
    pub platforms: Vec<Platform>,
}

impl Builder {
    /// Returns the endpoint of every node. buildx uses only `kubeconfig` from it, and displays the rest.
    pub fn endpoint(&self, kubeconfig: &Path) -> String {
        endpoint(&self.name, kubeconfig)
    }

    /// Returns the content of the builder's file. `previous` is the selection that `disconnect` restores.
    pub(super) fn instance(&self, kubeconfig: &Path, previous: Option<String>) -> Instance {
        let node = |node: &Node| InstanceNode {
            name: node.name.clone(),
            endpoint: self.endpoint(kubeconfig),
            platforms: (!node.platforms.is_empty()).then(|| node.platforms.iter().map(Into::into).collect()),
            driver_opts: DriverOpts {
                namespace: self.namespace.clone(),
                timeout: format!("{}s", self.timeout.as_secs()),
            },
            flags: None,
            files: None,
        };
        Instance {
            name: self.name.clone(),
            driver: "kubernetes".into(),
            nodes: self.nodes.iter().map(node).collect(),
            dynamic: false,
            owned: Some(OwnedBuilder {
                kubeconfig: kubeconfig.to_string_lossy().into_owned(),
                previous,
                permanent: false,
            }),
        }
    }
}

/// Returns the endpoint of a builder's nodes, which contains the path of the kubeconfig.
fn endpoint(builder: &str, kubeconfig: &Path) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("kubeconfig", &kubeconfig.to_string_lossy())
        .finish();
    format!("kubernetes:///{builder}?{query}")
}

/// Returns whether a node in a builder's file has the endpoint with this kubeconfig.
pub(super) fn has_kubeconfig(file: &serde_json::Value, builder: &str, kubeconfig: &Path) -> bool {
    let endpoint = endpoint(builder, kubeconfig);
    let mut nodes = file["Nodes"].as_array().into_iter().flatten();
    nodes.any(|node| node["Endpoint"] == *endpoint)
}

/// The content of a builder's file. The field names are buildx's. buildx ignores unknown fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instance {
    name: String,
    driver: String,
    nodes: Vec<InstanceNode>,
    dynamic: bool,
    /// The additional field of builders that this program created.
    #[serde(rename = "RemoteBuildkit", skip_serializing_if = "Option::is_none")]
    owned: Option<OwnedBuilder>,
}

impl Instance {
    /// Returns the kubeconfig of a builder that this program created.
    pub(super) fn kubeconfig(&self) -> Option<&str> {
        self.owned.as_ref().map(|owned| owned.kubeconfig.as_str())
    }

    /// Marks the builder as the machine's permanent one.
    pub(super) fn permanent(mut self) -> Self {
        if let Some(owned) = &mut self.owned {
            owned.permanent = true;
        }
        self
    }

    /// Returns whether this is the machine's permanent builder.
    pub(super) fn is_permanent(&self) -> bool {
        self.owned.as_ref().is_some_and(|owned| owned.permanent)
    }

    /// Returns the selection before this builder was selected; `None` if this program did not create the builder.
    pub(super) fn previous_selection(&self) -> Option<&Option<String>> {
        self.owned.as_ref().map(|owned| &owned.previous)
    }
}

/// The data that this program stores in the builders that it created.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OwnedBuilder {
    /// The path of the kubeconfig, as in the endpoints.
    kubeconfig: String,
    /// The content of `current` that `disconnect` restores.
    previous: Option<String>,
    /// Whether this is the machine's permanent builder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    permanent: bool,
}

/// A node in a builder's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceNode {
    name: String,
    endpoint: String,
    platforms: Option<Vec<InstancePlatform>>,
    driver_opts: DriverOpts,
    flags: Option<serde_json::Value>,
    files: Option<serde_json::Value>,
}

/// A platform in the form of the OCI image specification.
#[derive(Debug, Serialize, Deserialize)]
struct InstancePlatform {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

impl From<&Platform> for InstancePlatform {
    fn from(platform: &Platform) -> Self {
        Self {
            architecture: platform.arch.clone(),
            os: "linux".into(),
            variant: platform.variant.clone(),
        }
    }
}

/// The options of the kubernetes driver.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct DriverOpts {
    namespace: String,
    /// How long to wait for a pod, as a Go duration. buildx's default is 120 s.
    timeout: String,
}
