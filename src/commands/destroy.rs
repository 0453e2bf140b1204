//! The command `destroy`: removes agents that `connect` deployed. For people; never part of a job.

use std::sync::Arc;

use super::cluster_access;
use super::confirm::{Question, ask, with_deadline};
use super::guard::{self, Guard};
use super::job_state::JobState;
use crate::aws::Session;
use crate::cli::DestroyArgs;
use crate::cluster::{Cluster, OwnedObjects};
use crate::inputs::{self, Removal};
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

const QUESTION: Question = Question {
    text: "Delete them?",
    asks: "destroy asks before it removes anything",
    flag: "--yes",
};

/// Finds the objects, asks, and deletes them. The timeout is one for the cluster: a person's answer takes as long as it
/// takes, and deleting begins with a new deadline.
async fn destroy(guard: &mut Guard, removal: &Arc<Removal>, job_state: &Arc<JobState>) -> anyhow::Result<()> {
    let Removal {
        name,
        namespace,
        volumes,
        ask: asks,
        timeout,
        ..
    } = &**removal;
    let report = Report::start();
    let find = |retrier| find(removal.clone(), job_state.clone(), report.clone(), retrier);
    let (cluster, session, owned) = with_deadline(guard, "destroy", *timeout, find).await?;
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
    if *asks && !ask(guard, QUESTION).await? {
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
    with_deadline(guard, "destroy", *timeout, delete).await?;
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
