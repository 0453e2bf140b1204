//! Sets the outputs of the step: the outputs of setup-buildx-action, `kubeconfig`, `agent` and `remote`.

use std::path::Path;

use serde_json::json;

use super::ConnectedAgent;
use crate::buildx::Builder;
use crate::github;

/// Sets the outputs for a builder and its agents.
pub(super) fn set(builder: &Builder, kubeconfig: &Path, connected: &[ConnectedAgent]) -> anyhow::Result<()> {
    let endpoint = builder.endpoint(kubeconfig);
    let nodes: Vec<_> = connected
        .iter()
        .map(|connected| {
            json!({
                "name": connected.agent,
                "endpoint": endpoint,
                "driver-opts": [format!("namespace={}", builder.namespace)],
                "status": "running",
                "buildkit": connected.answer.buildkit.version,
                "platforms": connected.platforms().join(","),
            })
        })
        .collect();
    let all =
        |of: fn(&ConnectedAgent) -> Vec<String>| connected.iter().flat_map(of).collect::<Vec<_>>().join(",");
    for (name, value) in [
        ("remote", "true"),
        ("name", builder.name.as_str()),
        ("driver", "kubernetes"),
        ("endpoint", &endpoint),
        ("platforms", &all(ConnectedAgent::platforms)),
        ("nodes", &json!(nodes).to_string()),
        ("kubeconfig", &kubeconfig.to_string_lossy()),
        ("agent", &all(|connected| vec![connected.answer.pod.clone()])),
    ] {
        github::set_output(name, value)?;
    }
    Ok(())
}

impl ConnectedAgent {
    /// Returns the platforms that the inputs name, or all that its BuildKit reports.
    fn platforms(&self) -> Vec<String> {
        if self.platforms.is_empty() {
            return self.answer.buildkit.platforms.clone();
        }
        self.platforms.iter().map(ToString::to_string).collect()
    }
}
