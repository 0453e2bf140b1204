//! `deploy: always`: agents of ours as the inputs describe them.

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
    cluster.update(spec, &update, job.deadline).await?;
    let pod = if update.restarts {
        "its pod is replaced when its builds have ended"
    } else {
        "its pod goes on"
    };
    report.done(&format!("Agent {namespace}/{name} is brought up to date; {pod}"));
    Ok(())
}
