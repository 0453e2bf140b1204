//! A builder, as buildx keeps it in `instances/NAME` (docker/buildx, store/nodegroup.go).

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::platform::Platform;

/// A builder of the kubernetes driver.
#[derive(Debug, Clone)]
pub struct Builder {
    pub name: String,
    pub namespace: String,
    /// The first builds what names no platform.
    pub nodes: Vec<Node>,
    /// How long a build waits for a pod, when none is ready.
    pub timeout: Duration,
}

/// A node is a Deployment: buildx takes its name for the workload's, whatever the endpoint says.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    /// What it builds, and what an emulator of another node is not asked for; empty: what the daemon reports
    /// (docker/buildx, build/resolver: only what is stated here is a perfect match).
    pub platforms: Vec<Platform>,
}

impl Builder {
    /// The endpoint of every node. buildx reads `kubeconfig` out of it; the rest is what it shows.
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

/// Whether a builder's file is the one that was made for this kubeconfig.
pub(super) fn names_kubeconfig(file: &serde_json::Value, builder: &str, kubeconfig: &Path) -> bool {
    let endpoint = endpoint(builder, kubeconfig);
    let mut nodes = file["Nodes"].as_array().into_iter().flatten();
    nodes.any(|node| node["Endpoint"] == *endpoint)
}

/// The file. Field names are buildx's, and it ignores those it does not know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Instance {
    name: String,
    driver: String,
    nodes: Vec<InstanceNode>,
    dynamic: bool,
    /// Present in builders of ours alone.
    #[serde(rename = "RemoteBuildkit", skip_serializing_if = "Option::is_none")]
    ours: Option<Ours>,
}

impl Instance {
    /// For a builder of ours: its kubeconfig.
    pub(super) fn kubeconfig(&self) -> Option<&str> {
        self.ours.as_ref().map(|o| o.kubeconfig.as_str())
    }

    /// The machine's, whatever job comes and goes.
    pub(super) fn permanent(mut self) -> Self {
        if let Some(ours) = &mut self.ours {
            ours.permanent = true;
        }
        self
    }

    pub(super) fn is_permanent(&self) -> bool {
        self.ours.as_ref().is_some_and(|ours| ours.permanent)
    }

    /// For a builder of ours: what was selected before it.
    pub(super) fn selected_before(&self) -> Option<&Option<String>> {
        self.ours.as_ref().map(|o| &o.previous)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ours {
    /// The same path as in the endpoints.
    kubeconfig: String,
    /// The content of `current` that `disconnect` puts back.
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

/// As the OCI image specification writes platforms.
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
    /// In Go's notation; 120 s without.
    timeout: String,
}
