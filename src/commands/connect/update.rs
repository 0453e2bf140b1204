//! `deploy: always`: agents of ours as the inputs describe them.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;

use super::Job;
use crate::agent::{Spec, state};
use crate::report::Report;

/// Brings one agent up to date. One that is absent is left to be deployed, one of somebody else as it is.
pub(super) async fn update(job: &Job, spec: &Spec) -> anyhow::Result<()> {
    let Job { cluster, report, .. } = job;
    let Spec { name, namespace, .. } = spec;
    let Some(deployment) = cluster.deployment(name).await? else {
        return Ok(());
    };
    if !state::is_ours(&deployment.metadata) {
        return Ok(());
    }
    let update = cluster.preview(spec, &deployment).await?;
    if update.diff.is_empty() {
        report.done(&format!("Agent {namespace}/{name} is up to date"));
        return Ok(());
    }
    for line in update.diff.lines() {
        Report::detail(line);
    }
    let before = cluster.pods(name).await?;
    cluster.update(spec, &update).await?;
    if !update.restarts {
        report.done(&format!(
            "Agent {namespace}/{name} is brought up to date; its pod goes on"
        ));
        return Ok(());
    }
    report.done(&format!(
        "Agent {namespace}/{name} is brought up to date; its pod is replaced when its builds have ended"
    ));
    until_replaced(job, spec, &before).await
}

/// Until the pods that were there are on their way out: the builder would be handed over with one of them.
async fn until_replaced(job: &Job, spec: &Spec, before: &[Pod]) -> anyhow::Result<()> {
    while Instant::now() < job.deadline {
        let pods = job.cluster.pods(&spec.name).await?;
        let stays = |pod: &Pod| {
            pods.iter()
                .any(|p| p.metadata.uid == pod.metadata.uid && state::stays(p))
        };
        if !before.iter().any(stays) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
