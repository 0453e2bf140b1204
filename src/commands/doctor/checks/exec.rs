//! Checks how long a command in the agent's pod takes.

use std::time::Duration;

use super::super::agents::Agent;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::cluster::Cluster;

pub const CHECK: Check = Check {
    applies: |scope| scope.full,
    ..Check::new("exec", CheckGroup::Agent)
};

/// How often the latency is measured.
const ROUND_TRIPS: usize = 5;

/// An exec that takes longer slows builds down noticeably: each build starts with one and communicates over it.
const SLOW_EXEC: Duration = Duration::from_secs(1);

/// Runs commands in the pod that do nothing.
pub async fn run(cluster: &Cluster, agent: &Agent) -> anyhow::Result<(Finding, ())> {
    let took = cluster.round_trips(&agent.spec.name, ROUND_TRIPS).await?;
    Ok((evaluate(&took), ()))
}

/// Returns the finding for the latency, from several measurements.
pub fn evaluate(took: &[Duration]) -> Finding {
    let mut sorted = took.to_vec();
    sorted.sort();
    let (Some(fastest), Some(slowest)) = (sorted.first(), sorted.last()) else {
        return Finding::skipped("no command was run");
    };
    let median = sorted[sorted.len() / 2];
    let ms = |duration: &Duration| duration.as_millis();
    let found = format!(
        "a command in the pod takes {} ms (median of {}, {} to {} ms)",
        ms(&median),
        sorted.len(),
        ms(fastest),
        ms(slowest)
    );
    if median > SLOW_EXEC {
        return Finding::warning(
            found,
            "Run jobs nearer to the cluster, and check whether its API server, or a proxy in between, is overloaded: \
             each build needs several such calls.",
        );
    }
    Finding::ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
    use super::*;

    #[test]
    fn the_latency_is_the_median() {
        let ms = |numbers: &[u64]| -> Vec<Duration> {
            numbers
                .iter()
                .map(|number| Duration::from_millis(*number))
                .collect()
        };
        assert_eq!(
            evaluate(&ms(&[40, 900, 30, 50, 45])),
            Finding::ok("a command in the pod takes 45 ms (median of 5, 30 to 900 ms)")
        );
        assert_eq!(evaluate(&ms(&[1100, 1200, 30])).status, CheckStatus::Warning);
        assert_eq!(evaluate(&[]).status, CheckStatus::Skipped);
    }
}
