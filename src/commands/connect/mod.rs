//! `connect`: from the inputs to a selected builder that answers.

pub(super) mod agent;
mod late;
mod outputs;
pub(super) mod serve;
mod update;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guard::{self, Ended, Guard};
use super::selection::Selection;
use super::{doctor, registries, road};
use crate::agent::platform::Platform;
use crate::buildx::{self, Builder, Node, Store};
use crate::cli::ConnectArgs;
use crate::cluster::{Answer, Cluster};
use crate::docker::Docker;
use crate::github;
use crate::inputs::{self, Plan};
use crate::registry::Registry;
use crate::report::{Report, say};
use crate::retry::Retrier;

pub fn run(args: &ConnectArgs) -> anyhow::Result<()> {
    let plan = inputs::connect(args)?;
    buildx::check_installed()?;
    Store::writable()?;
    if plan.registries.is_some() {
        Docker::of_user()?.check()?;
    }
    guard::block_on(guarded(Arc::new(plan)))
}

/// Connects, or leaves nothing behind.
async fn guarded(plan: Arc<Plan>) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let selection = Arc::new(Selection::create(&plan.agents.spec.name)?);
    let at_the_end =
        |store: &Store, road: Road, report: &Report| select(&plan, &selection, store, road, report);
    let connected = over_the_road(&mut guard, &plan, &selection, at_the_end).await;
    if connected.is_err() {
        // What the failure was matters more than what becomes of this.
        if let Err(error) = selection.discard() {
            say(&format!("could not clean up: {error:#}"));
        }
    }
    connected
}

/// The whole road, until the timeout or a signal. `select` is called where it ends, with buildx's lock held.
pub(super) async fn over_the_road(
    guard: &mut Guard,
    plan: &Arc<Plan>,
    selection: &Arc<Selection>,
    select: impl FnOnce(&Store, Road, &Report) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let report = Report::start();
    let deadline = Instant::now() + plan.timeout;
    let retrier = Retrier::new(deadline, Report::detail);
    let reached = reach(
        plan.clone(),
        selection.clone(),
        deadline,
        report.clone(),
        retrier.clone(),
    );
    let work = async { Ok((reached.await?, Store::open().await?)) };
    let reached = guard.over(work, Some(deadline + GRACE)).await;
    let on_the_road = matches!(reached, Ok(Err(_)) | Err(Ended::Deadline));
    let connected = match reached {
        Ok(Ok((reached, store))) => select(&store, reached, &report),
        Ok(Err(error)) if Instant::now() >= deadline => Err(late::told(error, plan, &report)),
        Ok(Err(error)) => Err(error),
        Err(Ended::Deadline) => Err(late::cut_off(plan, &report, retrier.last_error()).into()),
        Err(Ended::Signal(name)) => Err(anyhow::anyhow!("stopped by {name}")),
    };
    if on_the_road {
        doctor::explain(guard, plan, selection).await;
    }
    connected
}

/// For whatever is under way to end first, which can say more.
const GRACE: Duration = Duration::from_secs(1);

/// What is known of a job on its way.
#[derive(Clone)]
struct Job {
    plan: Arc<Plan>,
    cluster: Cluster,
    /// What decides which of several agents serves.
    key: String,
    deadline: Instant,
    report: Report,
}

impl Job {
    /// For one of several architectures.
    fn beside(&self) -> Self {
        Self {
            report: self.report.beside(),
            ..self.clone()
        }
    }
}

/// An agent that answers.
pub(super) struct Reached {
    agent: String,
    /// What it is to build; empty when nothing was said.
    platforms: Vec<Platform>,
    answer: Answer,
}

/// What a job gets.
pub(super) struct Road {
    agents: Vec<Reached>,
    pub(super) registries: Vec<Registry>,
}

impl Road {
    /// For buildx.
    pub(super) fn builder(&self, plan: &Plan, name: &str) -> Builder {
        let node = |reached: &Reached| Node {
            name: reached.agent.clone(),
            platforms: reached.platforms.clone(),
        };
        Builder {
            name: name.to_owned(),
            namespace: plan.agents.spec.namespace.clone(),
            nodes: self.agents.iter().map(node).collect(),
            timeout: plan.timeout,
        }
    }
}

/// One agent for each architecture, and logins.
async fn reach(
    plan: Arc<Plan>,
    selection: Arc<Selection>,
    deadline: Instant,
    report: Report,
    retrier: Retrier,
) -> anyhow::Result<Road> {
    let namespace = &plan.agents.spec.namespace;
    let (cluster, session) = road::open(&plan.road, namespace, &selection, &report, &retrier).await?;
    let mut registries = Vec::new();
    if let Some(wanted) = &plan.registries {
        registries = registries::log_in(wanted, session.as_ref(), &selection, &retrier, github::mask).await?;
        report.done(&registries::named(&registries));
    }
    let job = Job {
        cluster,
        key: serve::key(&plan),
        deadline,
        report,
        plan,
    };
    let groups = job.plan.agents.groups();
    let served = groups.iter().map(|group| serve::serve(job.beside(), group));
    match futures::future::try_join_all(served).await {
        Ok(agents) => Ok(Road { agents, registries }),
        Err(error) => Err(road::named(error, session.as_ref()).await),
    }
}

/// Tells the job of the builder, and buildx, last: where this fails, nothing is selected.
fn select(
    plan: &Plan,
    selection: &Selection,
    store: &Store,
    road: Road,
    report: &Report,
) -> anyhow::Result<()> {
    let builder = road.builder(plan, &selection.builder);
    let Road { agents, registries } = road;
    outputs::set(&builder, &selection.kubeconfig(), &agents)?;
    registries::register(selection, &registries)?;
    selection.select(store, &builder)?;
    report.done(&format!("Builder {} is selected", builder.name));
    for file in store.malformed() {
        let text = format!(
            "{} is no builder as buildx writes one. Builds of this job go on, and docker buildx ls fails on it: remove it.",
            file.display()
        );
        github::warning("Not a builder of buildx", &text);
        Report::detail(&text);
    }
    if !github::in_job() {
        say(&format!(
            "Undo with: remote-buildkit disconnect --builder {}",
            builder.name
        ));
    }
    Ok(())
}
