//! How long an exec takes, there and back.

use std::time::{Duration, Instant};

use super::Cluster;
use super::probe::ATTEMPT_WITHIN;
use crate::retry::{self, FailureKind};

/// The least that BuildKit's image, and one made by hand, can run.
const COMMAND: [&str; 2] = ["buildctl", "--version"];

impl Cluster {
    /// Runs a command in the agent's pod some times, one after the other.
    pub async fn round_trips(&self, agent: &str, times: usize) -> anyhow::Result<Vec<Duration>> {
        let daemon = self.daemon(agent).await.map_err(|failed| failed.error)?;
        let mut took = Vec::new();
        for _ in 0..times {
            let began = Instant::now();
            let exec = self.exec(&daemon.pod, &daemon.container, &COMMAND);
            let ran = retry::with_timeout(ATTEMPT_WITHIN, FailureKind::TimedOut, exec).await;
            ran.map_err(|failed| failed.error)?;
            took.push(began.elapsed());
        }
        Ok(took)
    }
}
