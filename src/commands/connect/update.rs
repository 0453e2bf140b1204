//! Updates an existing agent to match the inputs, for `deploy: always`.

use super::Job;
use crate::agent::Spec;
use crate::agent::state::Deployment;
use crate::report::Report;

/// Updates an agent that remote-buildkit deployed, and logs the difference.
pub(super) async fn update(job: &Job, spec: &Spec, deployment: &Deployment) -> anyhow::Result<()> {
    let Job { cluster, report, .. } = job;
    let Spec { name, namespace, .. } = spec;
    let update = cluster.preview(spec, deployment).await?;
    Report::difference(&update.diff);
    // Applied even without a difference: server-side apply may change the ownership of fields.
    cluster.update(spec, &update, job.deadline).await?;
    if update.diff.is_empty() {
        report.done(&format!("Agent {namespace}/{name} is up to date"));
        return Ok(());
    }
    let pod = if update.restarts {
        "its pod is replaced when its running builds have ended"
    } else {
        "its pod keeps running"
    };
    report.done(&format!("Updated agent {namespace}/{name}; {pod}"));
    Ok(())
}
