//! `deploy: always`: an agent of ours as the inputs describe it.

use super::Job;
use crate::agent::Spec;
use crate::agent::state::Deployment;
use crate::report::Report;

/// Brings an agent of ours up to date.
pub(super) async fn update(job: &Job, spec: &Spec, deployment: &Deployment) -> anyhow::Result<()> {
    let Job { cluster, report, .. } = job;
    let Spec { name, namespace, .. } = spec;
    let update = cluster.preview(spec, deployment).await?;
    for line in update.diff.lines() {
        Report::detail(line);
    }
    // Also when nothing differs: fields may become ours, or cease to be.
    cluster.update(spec, &update, job.deadline).await?;
    if update.diff.is_empty() {
        report.done(&format!("Agent {namespace}/{name} is up to date"));
        return Ok(());
    }
    let pod = if update.restarts {
        "its pod is replaced when its builds have ended"
    } else {
        "its pod goes on"
    };
    report.done(&format!("Agent {namespace}/{name} is brought up to date; {pod}"));
    Ok(())
}
