//! The command `destroy`: removes agents that `connect` deployed. For people; never part of a job.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::cluster_access;
use super::guard::{self, DEADLINE_GRACE, Guard, Interrupted};
use super::job_state::JobState;
use crate::aws::Session;
use crate::cli::DestroyArgs;
use crate::cluster::{Cluster, OwnedObjects};
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
    let destroyed = destroy(&mut guard, &removal, &job_state).await;
    let discarded = job_state.discard();
    destroyed.and(discarded)
}

/// Finds the objects, asks, and deletes them. The timeout is one for the cluster: a person's answer takes as long as it
/// takes, and deleting begins with a new deadline.
async fn destroy(guard: &mut Guard, removal: &Arc<Removal>, job_state: &Arc<JobState>) -> anyhow::Result<()> {
    let Removal {
        name,
        namespace,
        volumes,
        ask,
        timeout,
        ..
    } = &**removal;
    let report = Report::start();
    let find = |retrier| find(removal.clone(), job_state.clone(), report.clone(), retrier);
    let (cluster, session, owned) = with_deadline(guard, *timeout, find).await?;
    if owned.is_empty(*volumes) {
        say(&format!(
            "remote-buildkit deployed no agent {namespace}/{name}; nothing to delete"
        ));
        return Ok(());
    }
    say(&format!(
        "Objects to delete in namespace {namespace} of {}:",
        cluster.server()
    ));
    print_plan(&owned, *volumes);
    if *ask && !ask_person(guard).await? {
        say("Nothing was deleted");
        return Ok(());
    }
    let deployed = !owned.deployments.is_empty();
    let volumes = *volumes;
    let delete = |retrier| async move {
        let cluster = cluster.with_retrier(retrier);
        match cluster.remove(&owned, volumes).await {
            Ok(()) => Ok(()),
            Err(error) => Err(cluster_access::explain_unauthorized(error, session.as_ref()).await),
        }
    };
    with_deadline(guard, *timeout, delete).await?;
    report.done(if deployed {
        "Deleted. Running builds have up to the agent's drain timeout to finish"
    } else {
        "Deleted"
    });
    Ok(())
}

/// Connects to the cluster, and lists the agent's objects.
async fn find(
    removal: Arc<Removal>,
    job_state: Arc<JobState>,
    report: Report,
    retrier: Retrier,
) -> anyhow::Result<(Cluster, Option<Session>, OwnedObjects)> {
    let (cluster, session) = cluster_access::open(
        &removal.cluster_access,
        &removal.namespace,
        &job_state,
        &report,
        &retrier,
    )
    .await?;
    match cluster.list_owned(&removal.name).await {
        Ok(owned) => Ok((cluster, session, owned)),
        Err(error) => Err(cluster_access::explain_unauthorized(error, session.as_ref()).await),
    }
}

/// Runs requests until they are done, the timeout has passed, or a signal arrives.
async fn with_deadline<T, W>(
    guard: &mut Guard,
    timeout: Duration,
    work: impl FnOnce(Retrier) -> W,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    W: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let deadline = Instant::now() + timeout;
    let retrier = Retrier::new(deadline, Report::retry);
    let work = work(retrier.clone());
    match guard.run_until(work, Some(deadline + DEADLINE_GRACE)).await {
        Ok(done) => done,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => Err(timed_out(timeout, retrier.last_error()).into()),
    }
}

/// Returns the error when a request did not end by itself.
fn timed_out(timeout: Duration, last_error: Option<Problem>) -> Problem {
    let what = format!(
        "destroy was stopped after its timeout of {} s.",
        timeout.as_secs()
    );
    match last_error {
        Some(last_error) => Problem::new(
            ErrorCode::TimedOut,
            format!("{what} The last error: {}", last_error.what),
            last_error.remedy,
        ),
        None => Problem::new(
            ErrorCode::TimedOut,
            format!("{what} No response came in that time."),
            "Check that this machine can reach AWS and the cluster, and that the credential plugin of the kubeconfig \
             ends; or raise `timeout`.",
        ),
    }
}

/// Prints what will be deleted and what will be kept.
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

/// Asks for confirmation until a signal arrives.
async fn ask_person(guard: &mut Guard) -> anyhow::Result<bool> {
    match guard.run_until(confirmed(), None).await {
        Ok(answer) => answer,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => Ok(false),
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
    write!(output, "Delete them? [y/N] ")?;
    output.flush()?;
    // Reading blocks, and Ctrl-C must still work.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await?.context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
