//! The command `destroy`: removes agents that `connect` deployed. For people; never part of a job.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;

use super::cluster_access;
use super::guard::{self, Guard, Interrupted};
use super::job_state::JobState;
use crate::cli::DestroyArgs;
use crate::cluster::OwnedObjects;
use crate::error_code::ErrorCode;
use crate::inputs::{self, Removal};
use crate::output;
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::retry::Retrier;

pub fn run(args: &DestroyArgs) -> anyhow::Result<()> {
    let removal = inputs::destroy(args)?;
    guard::block_on(run_async(Arc::new(removal)))
}

/// Removes the agents, and in any case this command's own credentials.
async fn run_async(removal: Arc<Removal>) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let job_state = Arc::new(JobState::create(&removal.name)?);
    let work = destroy(removal, job_state.clone());
    let destroyed = match guard.run_until(work, None).await {
        Ok(destroyed) => destroyed,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => Err(anyhow::anyhow!("timed out")),
    };
    let discarded = job_state.discard();
    destroyed.and(discarded)
}

async fn destroy(removal: Arc<Removal>, job_state: Arc<JobState>) -> anyhow::Result<()> {
    let Removal {
        cluster_access,
        name,
        namespace,
        volumes,
        ask,
        timeout,
    } = &*removal;
    let report = Report::start();
    let retrier = Retrier::new(Instant::now() + *timeout, Report::retry);
    let (cluster, session) =
        cluster_access::open(cluster_access, namespace, &job_state, &report, &retrier).await?;
    let owned = match cluster.list_owned(name).await {
        Ok(owned) => owned,
        Err(error) => return Err(cluster_access::explain_unauthorized(error, session.as_ref()).await),
    };
    if owned.is_empty(*volumes) {
        say(&format!(
            "remote-buildkit deployed no agent {namespace}/{name}; nothing to remove"
        ));
        return Ok(());
    }
    say(&format!(
        "To be removed from the namespace {namespace} of {}:",
        cluster.server()
    ));
    print_plan(&owned, *volumes);
    if *ask && !confirmed().await? {
        say("Nothing was removed");
        return Ok(());
    }
    cluster.remove(&owned, *volumes).await?;
    report.done(if owned.deployments.is_empty() {
        "Removed"
    } else {
        "Removed; running builds are given time to finish"
    });
    Ok(())
}

/// Prints what will be removed and what will be kept.
fn print_plan(owned: &OwnedObjects, volumes: bool) {
    for object in &owned.deployments {
        say(&format!("  Deployment {}", object.name));
    }
    for object in &owned.configs {
        say(&format!("  ConfigMap {}", object.name));
    }
    for object in &owned.claims {
        let name = &object.name;
        say(&if volumes {
            format!("  PersistentVolumeClaim {name}, and its cache")
        } else {
            format!("  kept: PersistentVolumeClaim {name}, with its cache")
        });
    }
}

/// Asks for confirmation, as kubectl and apt do. Without a terminal, `--yes` is required.
async fn confirmed() -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Problem::new(
            ErrorCode::ConfirmationRequired,
            "destroy asks before it removes anything, and standard input is not a terminal.",
            "Run it in a terminal, or add `--yes`.",
        )
        .into());
    }
    output::finish();
    let mut output = std::io::stdout();
    write!(output, "Remove them? [y/N] ")?;
    output.flush()?;
    // Reading blocks, and Ctrl-C must still work.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await?.context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
