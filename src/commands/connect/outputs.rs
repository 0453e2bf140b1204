//! The outputs: those of setup-buildx-action, and two that are ours.

use std::path::Path;

use serde_json::json;

use super::Reached;
use crate::buildx::Builder;
use crate::github;

pub(super) fn set(builder: &Builder, kubeconfig: &Path, reached: &[Reached]) -> anyhow::Result<()> {
    let endpoint = builder.endpoint(kubeconfig);
    let nodes: Vec<_> = reached
        .iter()
        .map(|reached| {
            json!({
                "name": reached.agent,
                "endpoint": endpoint,
                "driver-opts": [format!("namespace={}", builder.namespace)],
                "status": "running",
                "buildkit": reached.answer.buildkit.version,
                "platforms": reached.platforms().join(","),
            })
        })
        .collect();
    let all = |of: fn(&Reached) -> Vec<String>| reached.iter().flat_map(of).collect::<Vec<_>>().join(",");
    for (name, value) in [
        ("name", builder.name.as_str()),
        ("driver", "kubernetes"),
        ("endpoint", &endpoint),
        ("platforms", &all(Reached::platforms)),
        ("nodes", &json!(nodes).to_string()),
        ("kubeconfig", &kubeconfig.to_string_lossy()),
        ("agent", &all(|reached| vec![reached.answer.pod.clone()])),
    ] {
        github::set_output(name, value)?;
    }
    Ok(())
}

impl Reached {
    /// Those that were asked for, or else all that its daemon reports.
    fn platforms(&self) -> Vec<String> {
        if self.platforms.is_empty() {
            return self.answer.buildkit.platforms.clone();
        }
        self.platforms.iter().map(ToString::to_string).collect()
    }
}
