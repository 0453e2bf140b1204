//! The command `connect`: makes agents ready, and selects a buildx builder for them.

mod agent;
mod job_buildx;
mod local;
mod outputs;
mod select_agent;
mod timeout;
mod update;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use self::job_buildx::JobBuildx;
use super::guard::{self, DEADLINE_GRACE, Guard, Interrupted};
use super::job_state::JobState;
use super::{agent_checks, cluster_access, doctor, registries};
use crate::agent::platform::Platform;
use crate::aws::Session;
use crate::buildx::{Builder, Node, Store};
use crate::cli::ConnectArgs;
use crate::cluster::{Cluster, DaemonStatus};
use crate::docker::DockerConfig;
use crate::error_code::ErrorCode;
use crate::github;
use crate::inputs::{self, Plan};
use crate::problem::Problem;
use crate::registry::Registry;
use crate::report::{Report, say};
use crate::retry::Retrier;

/// Runs `connect`: validates the inputs and this machine, then connects.
pub fn run(args: &ConnectArgs) -> anyhow::Result<()> {
    let plan = inputs::connect(args)?;
    if let Some(reason) = local::reason(&plan) {
        return local::build_locally(&reason);
    }
    job_buildx::check(&plan)?;
    Store::writable()?;
    if plan.registries.is_some() {
        DockerConfig::of_user()?.check()?;
    }
    guard::block_on(run_async(Arc::new(plan)))
}

/// Connects, and removes everything again if that fails.
async fn run_async(plan: Arc<Plan>) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let job_state = Arc::new(JobState::create(&plan.agents.spec.name)?);
    let select = |store: &Store, connection: Connection, buildx: Option<JobBuildx>, report: &Report| {
        select_builder(&plan, &job_state, store, connection, buildx.as_ref(), report)
    };
    let deadline = Instant::now() + plan.timeout;
    let buildx = job_buildx::prepare(plan.clone(), job_state.clone(), deadline, Report::start());
    let connected = connect_with_deadline(&mut guard, &plan, &job_state, buildx, select).await;
    if connected.is_err() {
        // The failure itself is the error to report.
        if let Err(error) = job_state.discard() {
            say(&format!("warning: cannot clean up: {error:#}"));
        }
    }
    connected
}

/// Connects to the agents like [`connect_then`]. Calls `select` at the end, with the result of `beside` and with buildx's lock
/// held.
pub(super) async fn connect_with_deadline<T: Send + 'static>(
    guard: &mut Guard,
    plan: &Arc<Plan>,
    job_state: &Arc<JobState>,
    beside: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    select: impl FnOnce(&Store, Connection, T, &Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (connection, (beside, store), report) =
        connect_then(guard, plan, job_state, None, beside, Store::open).await?;
    select(&store, connection, beside, &report)
}

/// A cluster that is open, and its AWS session, if it is on EKS.
pub(super) struct OpenCluster {
    pub(super) cluster: Cluster,
    pub(super) session: Option<Session>,
}

/// Connects to the agents until the timeout or a signal, meanwhile does other work, `beside`, and after both `then`. Opens the
/// cluster if it is not open. Prints the failed checks of the doctor if that failed.
pub(super) async fn connect_then<B, T, F>(
    guard: &mut Guard,
    plan: &Arc<Plan>,
    job_state: &Arc<JobState>,
    open: Option<OpenCluster>,
    beside: impl Future<Output = anyhow::Result<B>> + Send + 'static,
    then: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<(Connection, (B, T), Report)>
where
    B: Send + 'static,
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send,
{
    let report = Report::start();
    let deadline = Instant::now() + plan.timeout;
    let retrier = Retrier::new(deadline, Report::retry);
    let connected = connect_agents(
        plan.clone(),
        job_state.clone(),
        deadline,
        report.clone(),
        retrier.clone(),
        open,
    );
    let work = async {
        let (connection, beside) = futures::future::try_join(connected, beside).await?;
        Ok((connection, (beside, then().await?)))
    };
    let connected = guard.run_until(work, Some(deadline + DEADLINE_GRACE)).await;
    let explain = matches!(connected, Ok(Err(_)) | Err(Interrupted::Deadline));
    let connected = match connected {
        Ok(Ok((connection, done))) => Ok((connection, done, report)),
        Ok(Err(error)) if Instant::now() >= deadline => Err(timeout::annotate(error, plan, &report)),
        Ok(Err(error)) => Err(error),
        Err(Interrupted::Deadline) => Err(timeout::timed_out(plan, &report, retrier.last_error()).into()),
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
    };
    if explain {
        doctor::explain(guard, plan, job_state).await;
    }
    connected
}

/// What connecting to one agent needs.
#[derive(Clone)]
struct Job {
    plan: Arc<Plan>,
    cluster: Cluster,
    /// The cache key: decides which of several agents is preferred.
    key: String,
    deadline: Instant,
    report: Report,
}

impl Job {
    /// Returns the same job with its own clock, for one of several architectures.
    fn fork(&self) -> Self {
        Self {
            report: self.report.fork(),
            ..self.clone()
        }
    }
}

/// An agent whose BuildKit responded.
pub(super) struct ConnectedAgent {
    agent: String,
    /// The platforms to build on it; empty if the input `platforms` is not set.
    platforms: Vec<Platform>,
    answer: DaemonStatus,
}

/// The agents and registries of a connected job.
pub(super) struct Connection {
    agents: Vec<ConnectedAgent>,
    pub(super) registries: Vec<Registry>,
}

impl Connection {
    /// Returns the buildx builder for these agents.
    pub(super) fn builder(&self, plan: &Plan, name: &str) -> Builder {
        let node = |connected: &ConnectedAgent| Node {
            name: connected.agent.clone(),
            platforms: connected.platforms.clone(),
        };
        Builder {
            name: name.to_owned(),
            namespace: plan.agents.spec.namespace.clone(),
            nodes: self.agents.iter().map(node).collect(),
            timeout: plan.timeout,
        }
    }
}

/// Makes one agent for each architecture ready, and logs in to the registries.
async fn connect_agents(
    plan: Arc<Plan>,
    job_state: Arc<JobState>,
    deadline: Instant,
    report: Report,
    retrier: Retrier,
    open: Option<OpenCluster>,
) -> anyhow::Result<Connection> {
    let namespace = &plan.agents.spec.namespace;
    let (cluster, session) = match open {
        Some(OpenCluster { cluster, session }) => (cluster.with_retrier(retrier.clone()), session),
        None => cluster_access::open(&plan.cluster_access, namespace, &job_state, &report, &retrier).await?,
    };
    let mut registries = Vec::new();
    if let Some(selectors) = &plan.registries {
        registries =
            registries::log_in(selectors, session.as_ref(), &job_state, &retrier, github::mask).await?;
        report.done(&registries::named(&registries));
    }
    let job = Job {
        cluster,
        key: agent_checks::cache_key(&plan),
        deadline,
        report,
        plan,
    };
    let groups = job.plan.agents.groups();
    let selected = groups
        .iter()
        .map(|group| select_agent::select_agent(job.fork(), group));
    match futures::future::try_join_all(selected).await {
        Ok(agents) => Ok(Connection { agents, registries }),
        Err(error) => Err(cluster_access::explain_unauthorized(error, session.as_ref()).await),
    }
}

/// Sets the outputs, then selects the builder. The selection comes last, so that nothing is selected if an earlier step
/// fails.
fn select_builder(
    plan: &Plan,
    job_state: &JobState,
    store: &Store,
    connection: Connection,
    buildx: Option<&JobBuildx>,
    report: &Report,
) -> anyhow::Result<()> {
    let builder = connection.builder(plan, &job_state.builder);
    let Connection { agents, registries } = connection;
    outputs::set(&builder, &job_state.kubeconfig(), &agents)?;
    let mut settings = registries::settings(&registries);
    settings.extend(buildx.into_iter().flat_map(JobBuildx::settings));
    registries::add_to_config(job_state, settings)?;
    registries::register(job_state, &registries)?;
    buildx.map_or(Ok(()), JobBuildx::add_to_path)?;
    job_state.select_builder(store, &builder)?;
    report.done(&format!("Selected builder {}", builder.name));
    // For a registry the program is on the PATH already. Otherwise a build does not need it, so this is no failure.
    if registries.is_empty()
        && let Err(error) = registries::add_program_to_path(job_state)
    {
        Report::detail(&format!(
            "remote-buildkit is not on the PATH of later steps: {error:#}"
        ));
    }
    for file in store.malformed() {
        let warning = invalid_builder_file(&file);
        github::warn(&warning);
        Report::detail(&format!("{} {}", warning.what, warning.remedy));
    }
    if !github::in_job() {
        say(&format!(
            "Undo with: remote-buildkit disconnect --builder {}",
            builder.name
        ));
    }
    Ok(())
}

/// Returns the warning of a file in buildx's directory that is not a builder.
fn invalid_builder_file(file: &Path) -> Problem {
    Problem::new(
        ErrorCode::InvalidBuilderFile,
        format!(
            "{} is not a valid builder file of buildx. Builds of this job are not affected, but `docker buildx ls` fails \
             because of it.",
            file.display()
        ),
        "Remove the file.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_of_a_file_that_is_not_a_builder() {
        let file = Path::new("/home/ci/.docker/buildx/instances/mine");
        insta::assert_snapshot!(invalid_builder_file(file));
    }
}
