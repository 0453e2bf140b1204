//! How long an exec takes, there and back.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::Cluster;
use crate::agent::state;

/// The least that BuildKit's image, and one made by hand, can run.
const COMMAND: [&str; 2] = ["buildctl", "--version"];

const WITHIN: Duration = Duration::from_secs(15);

impl Cluster {
    /// Runs a command in the agent's pod some times, one after the other.
    pub async fn round_trips(&self, agent: &str, times: usize) -> anyhow::Result<Vec<Duration>> {
        let pods = self.pods(agent).await?;
        let pod = state::ready_pod(&pods).context("its pod is not ready any more")?;
        let name = pod.metadata.name.as_deref().context("a pod without a name")?;
        let container = state::container(pod).context("its pod has no container")?;
        let mut took = Vec::new();
        for _ in 0..times {
            let began = Instant::now();
            let ran = tokio::time::timeout(WITHIN, self.exec(name, container, &COMMAND)).await;
            ran.with_context(|| format!("no answer within {} s", WITHIN.as_secs()))?
                .map_err(|failed| failed.error)?;
            took.push(began.elapsed());
        }
        Ok(took)
    }
}
