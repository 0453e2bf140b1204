//! The command `demo`: shows on any cluster what an agent's cache is worth. Builds an example application three times, each
//! time as a job on a new machine does, and removes everything again.

mod application;
mod table;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::cluster_access;
use super::connect::{self, OpenCluster};
use super::guard::{self, DEADLINE_GRACE, Guard, Interrupted};
use super::job_state::JobState;
use crate::buildx::{self, Builder, ImageBuild, ImageBuildResult};
use crate::cli::DemoArgs;
use crate::cluster::Cluster;
use crate::error_code::ErrorCode;
use crate::files;
use crate::inputs::{self, Demo, Plan};
use crate::problem::Problem;
use crate::report::{Report, say};
use crate::retry::Retrier;

/// The label of a namespace that a demo created. Its value is new for each run, so that a run deletes only its own.
const RUN_LABEL: &str = "remote-buildkit/demo";

/// How long to wait until a namespace with everything in it is deleted.
const DELETE_TIMEOUT: Duration = Duration::from_secs(180);

/// The builds: the name in the table, and whether a line of the application has changed.
const BUILDS: [(&str, bool); 3] = [
    ("empty cache", false),
    ("nothing changed", false),
    ("one line changed", true),
];

/// Runs `demo`: validates the flags and this machine, then shows the builds.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let demo = inputs::demo(args)?;
    buildx::check_installed()?;
    guard::block_on(run_async(demo))
}

/// What a run of the demo shares with its cleanup.
struct Run {
    plan: Arc<Plan>,
    job_state: Arc<JobState>,
    /// The value of the namespace's label.
    id: String,
    /// The cluster, as soon as this run may have created the namespace.
    created_in: Arc<OnceLock<Cluster>>,
}

/// Shows the builds, and in any case removes the namespace and this command's own files.
async fn run_async(demo: Demo) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let run = Run {
        job_state: Arc::new(JobState::create(&demo.plan.agents.spec.name)?),
        plan: Arc::new(demo.plan),
        id: files::random_hex()?,
        created_in: Arc::default(),
    };
    let shown = show(&mut guard, &run, &demo.build_args).await;
    let removed = match run.created_in.get() {
        Some(_) if demo.keep => {
            say(&format!(
                "Kept the namespace {0}. Delete it with: kubectl delete namespace {0}",
                run.plan.agents.spec.namespace
            ));
            Ok(())
        }
        Some(cluster) => remove_namespace(&mut guard, cluster, &run).await,
        None => Ok(()),
    };
    let discarded = run.job_state.discard();
    if shown.is_ok() {
        return removed.and(discarded);
    }
    // The failure itself is the error to report.
    for error in [removed, discarded].into_iter().filter_map(Result::err) {
        say(&format!("warning: cannot clean up: {error:#}"));
    }
    shown
}

/// Creates the namespace and the agent, runs the builds and prints the table.
async fn show(guard: &mut Guard, run: &Run, build_args: &[String]) -> anyhow::Result<()> {
    let opened = prepare_namespace(guard, run).await?;
    let nothing = || async { Ok(()) };
    let (connection, _, report) =
        connect::connect_then(guard, &run.plan, &run.job_state, Some(opened), nothing(), nothing).await?;
    let builder = connection.builder(&run.plan, &run.job_state.builder);
    let mut builds = Vec::new();
    for (name, is_changed) in BUILDS {
        let built = build(guard, run, &builder, build_args, is_changed).await?;
        report.done(&format!("Built the example application: {name}"));
        builds.push((name, built));
    }
    say(&format!("\n{}\n", table::table(&builds)));
    Ok(())
}

/// Runs one build, with a context and a buildx directory that no other build has.
async fn build(
    guard: &mut Guard,
    run: &Run,
    builder: &Builder,
    build_args: &[String],
    is_changed: bool,
) -> anyhow::Result<ImageBuildResult> {
    let JobState { dir, .. } = &*run.job_state;
    let build = ImageBuild::prepare(dir, builder, &run.job_state.kubeconfig(), build_args)?;
    let context: PathBuf = build.context();
    application::write(&context)?;
    if is_changed {
        application::change_line(&context)?;
    }
    match guard.run_until(async move { build.run().await }, None).await {
        Ok(built) => built,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => unreachable!("a build has no deadline"),
    }
}

/// Opens the cluster and creates the namespace.
async fn prepare_namespace(guard: &mut Guard, run: &Run) -> anyhow::Result<OpenCluster> {
    let timeout = run.plan.timeout.max(DELETE_TIMEOUT);
    let deadline = Instant::now() + timeout;
    let retrier = Retrier::new(deadline, Report::retry);
    let (plan, job_state, id) = (run.plan.clone(), run.job_state.clone(), run.id.clone());
    let created_in = run.created_in.clone();
    let work = async move {
        let report = Report::start();
        let namespace = &plan.agents.spec.namespace;
        let (cluster, session) =
            cluster_access::open(&plan.cluster_access, namespace, &job_state, &report, &retrier).await?;
        match create_namespace(&cluster, namespace, &id, &created_in, &report).await {
            Ok(()) => Ok(OpenCluster { cluster, session }),
            Err(error) => Err(cluster_access::explain_unauthorized(error, session.as_ref()).await),
        }
    };
    match guard.run_until(work, Some(deadline + DEADLINE_GRACE)).await {
        Ok(opened) => opened,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => Err(timed_out(&run.plan, "create", timeout).into()),
    }
}

/// Creates the namespace. One that an earlier demo left is deleted first: its cache would not be empty.
async fn create_namespace(
    cluster: &Cluster,
    namespace: &str,
    id: &str,
    created_in: &OnceLock<Cluster>,
    report: &Report,
) -> anyhow::Result<()> {
    if let Some(found) = cluster.namespace().await? {
        if found.own_label(RUN_LABEL).is_none() {
            return Err(namespace_exists(namespace).into());
        }
        cluster.delete_namespace(&found).await?;
        report.done(&format!(
            "Deleted the namespace {namespace}, which an earlier demo left"
        ));
    }
    let _ = created_in.set(cluster.clone());
    cluster.create_namespace(&[(RUN_LABEL, id)]).await?;
    let found = cluster.namespace().await?;
    if found.is_none_or(|found| found.own_label(RUN_LABEL) != Some(id)) {
        return Err(namespace_exists(namespace).into());
    }
    cluster.wait_for_service_account().await?;
    report.done(&format!("Created the namespace {namespace}"));
    Ok(())
}

/// Deletes the namespace of this run, with the agent and its volume.
async fn remove_namespace(guard: &mut Guard, cluster: &Cluster, run: &Run) -> anyhow::Result<()> {
    let deadline = Instant::now() + DELETE_TIMEOUT;
    let cluster = cluster
        .clone()
        .with_retrier(Retrier::new(deadline, Report::retry));
    let (namespace, id) = (run.plan.agents.spec.namespace.clone(), run.id.clone());
    let work = async move {
        let report = Report::start();
        if let Some(found) = cluster.namespace().await?
            && found.own_label(RUN_LABEL) == Some(&id)
        {
            cluster.delete_namespace(&found).await?;
            report.done(&format!("Deleted the namespace {namespace} and everything in it"));
        }
        Ok(())
    };
    let left = &run.plan.agents.spec.namespace;
    match guard.run_until(work, Some(deadline + DEADLINE_GRACE)).await {
        Ok(removed) => removed,
        Err(Interrupted::Signal(name)) => Err(Problem::new(
            ErrorCode::Interrupted,
            format!("stopped by {name} while the namespace {left} was being deleted"),
            format!("See whether it is gone: kubectl get namespace {left}."),
        )
        .into()),
        Err(Interrupted::Deadline) => Err(timed_out(&run.plan, "delete", DELETE_TIMEOUT).into()),
    }
}

fn namespace_exists(namespace: &str) -> Problem {
    Problem::new(
        ErrorCode::NamespaceExists,
        format!("The namespace {namespace} exists, and no demo of remote-buildkit created it."),
        "Choose another `namespace`: the demo deletes its namespace with everything in it.",
    )
}

/// Returns the error when the namespace was not created or deleted in time.
fn timed_out(plan: &Plan, verb: &str, timeout: Duration) -> Problem {
    let namespace = &plan.agents.spec.namespace;
    Problem::new(
        ErrorCode::TimedOut,
        format!(
            "Could not {verb} the namespace {namespace} within {} s.",
            timeout.as_secs()
        ),
        format!(
            "See what the cluster says about it: kubectl describe namespace {namespace}; then delete it: kubectl delete \
             namespace {namespace}."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_a_namespace_that_exists() {
        insta::assert_snapshot!(namespace_exists("remote-buildkit-demo"));
    }
}
