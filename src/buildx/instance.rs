//! The file of a builder, `instances/NAME` in buildx's directory (docker/buildx, store/nodegroup.go).

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::platform::Platform;

/// A builder of the kubernetes driver.
#[derive(Debug, Clone)]
pub struct Builder {
    pub name: String,
    pub namespace: String,
    /// Builds without a platform run on the first node.
    pub nodes: Vec<Node>,
    /// How long a build waits for a pod if none is ready.
    pub timeout: Duration,
}

/// A node of a builder, which is a Deployment. buildx uses the node's name as the workload's and ignores the endpoint's.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    /// The platforms that are built here and not emulated on another node. If empty, those that the daemon reports
    /// (docker/buildx, build/resolver: only platforms in this list are a perfect match).
    pub platforms: Vec<Platform>,
}

impl Builder {
    /// Returns the endpoint of every node. buildx reads `kubeconfig` from it, and only shows the rest.
    pub fn endpoint(&self, kubeconfig: &Path) -> String {
        endpoint(&self.name, kubeconfig)
    }

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
            ours: Some(Ours {
                kubeconfig: kubeconfig.to_string_lossy().into_owned(),
                previous,
                permanent: false,
            }),
        }
    }
}

fn endpoint(builder: &str, kubeconfig: &Path) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("kubeconfig", &kubeconfig.to_string_lossy())
        .finish();
    format!("kubernetes:///{builder}?{query}")
}

/// Returns whether a builder's file has this kubeconfig.
pub(super) fn names_kubeconfig(file: &serde_json::Value, builder: &str, kubeconfig: &Path) -> bool {
    let endpoint = endpoint(builder, kubeconfig);
    let mut nodes = file["Nodes"].as_array().into_iter().flatten();
    nodes.any(|node| node["Endpoint"] == *endpoint)
}

/// The content of the file. Field names are buildx's; it ignores unknown ones.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instance {
    name: String,
    driver: String,
    nodes: Vec<InstanceNode>,
    dynamic: bool,
    /// Present only in builders that this program created.
    #[serde(rename = "RemoteBuildkit", skip_serializing_if = "Option::is_none")]
    ours: Option<Ours>,
}

impl Instance {
    /// Returns the kubeconfig of a builder of ours.
    pub(super) fn kubeconfig(&self) -> Option<&str> {
        self.ours.as_ref().map(|o| o.kubeconfig.as_str())
    }

    /// Marks the builder as the machine's permanent one.
    pub(super) fn permanent(mut self) -> Self {
        if let Some(ours) = &mut self.ours {
            ours.permanent = true;
        }
        self
    }

    /// Returns whether this is the machine's permanent builder.
    pub(super) fn is_permanent(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| ours.permanent)
    }

    /// Returns the selection before a builder of ours.
    pub(super) fn selected_before(&self) -> Option<&Option<String>> {
        self.ours.as_ref().map(|o| &o.previous)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ours {
    /// The same path as in the endpoints.
    kubeconfig: String,
    /// The content of `current` that `disconnect` restores.
    previous: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    permanent: bool,
}

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

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct DriverOpts {
    namespace: String,
    /// A Go duration; the default is 120 s.
    timeout: String,
}
