//! The command `doctor`: checks every step from this machine to a build. Its only change in the cluster is a few bytes of
//! an agent's cache, and it leaves nothing on this machine.
//!
//! Each check is a file in `checks/`: its name, what it asks, and a pure function from what was found to a
//! [`Finding`](finding::Finding) with its remedy. [`CHECKS`], [`AGENT_CHECKS`] and `run_checks` have them in their order.

mod agents;
mod check;
mod checklist;
mod checks;
mod explain;
mod finding;
mod known_issues;
mod table;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::guard::{self, DEADLINE_GRACE, Guard, Interrupted};
use super::job_state::JobState;
use crate::cli::{self, DoctorArgs, OutputFormat};
use crate::cluster::Cluster;
use crate::inputs::{ClusterAccess, Plan};
use crate::output;
use crate::problem::Problem;
use crate::report::{print_raw, say};
use crate::retry::Retrier;
use crate::secret::Secret;

use agents::{Agent, NewVolume};
use check::{Check, PlannedRow, Scope};
use checklist::{Checklist, Print};
use checks::{
    agent, build, buildkit, buildx, cluster, csi_driver, disk, exec, identity, inputs, rbac, registries,
    runner, storage_class, token, volume,
};
use finding::{CheckResult, Finding};

pub(super) use explain::explain;

/// The checks, in their order.
const CHECKS: &[Check] = &[
    inputs::CHECK,
    runner::CHECK,
    buildx::CHECK,
    identity::CHECK,
    cluster::CHECK,
    registries::CHECK,
    token::CHECK,
    rbac::CHECK,
    storage_class::CHECK,
    csi_driver::CHECK,
];

/// The checks of each agent, in their order. They follow [`CHECKS`].
const AGENT_CHECKS: &[Check] = &[
    agent::CHECK,
    volume::CHECK,
    buildkit::CHECK,
    disk::CHECK,
    exec::CHECK,
    build::CHECK,
    build::CACHE_CHECK,
];

/// Returns all rows of a run, in their order.
fn planned(scope: &Scope) -> Vec<PlannedRow> {
    scope.rows(CHECKS, AGENT_CHECKS)
}

/// What the checks need.
#[derive(Clone)]
struct Doctor {
    plan: Arc<Plan>,
    job_state: Arc<JobState>,
    scope: Scope,
    checklist: Checklist,
    retrier: Retrier,
    /// The URL of the API server, once it is known.
    server: Arc<OnceLock<String>>,
    mask: fn(&Secret),
}

impl Doctor {
    /// Runs a check and records its result. Returns what later checks need, or `None` if it failed.
    async fn run_check<T>(
        &self,
        name: &str,
        check: impl Future<Output = anyhow::Result<(Finding, T)>>,
    ) -> Option<T> {
        // The error of an earlier check does not explain this one.
        self.retrier.forget_last_error();
        self.checklist.run(name, check).await
    }

    /// Returns the finding for a check that was interrupted: the last error of its requests, which is the cause, or
    /// else that it did not finish.
    fn interrupted(&self, after: Duration) -> Finding {
        if let Some(error) = self.retrier.last_error() {
            return error.into();
        }
        Finding::failed(
            format!("did not finish within the timeout of {} s", after.as_secs()),
            match self.server.get() {
                Some(server) => format!("Check that this machine can reach {server}, or raise `timeout`."),
                None => "Check what this machine can reach, or raise `timeout`.".into(),
            },
        )
    }

    /// Runs the checks in their order. A check is skipped if an earlier one failed that it requires.
    async fn run_checks(self) -> anyhow::Result<()> {
        let list = &self.checklist;
        let mut has_buildx = false;
        if self.scope.full {
            self.run_check(runner::CHECK.name, runner::run(&self)).await;
            has_buildx = self
                .run_check(buildx::CHECK.name, buildx::run(&self))
                .await
                .is_some();
        }
        let session = match &self.plan.cluster_access {
            ClusterAccess::Eks {
                cluster,
                region,
                identity,
            } => {
                let check = identity::run(&self, cluster, region.as_deref(), identity);
                let Some(session) = self.run_check(identity::CHECK.name, check).await else {
                    return Ok(());
                };
                Some(session)
            }
            ClusterAccess::Kubeconfig { .. } | ClusterAccess::InCluster => None,
        };
        let session = session.as_ref();
        let check = cluster::run(&self, session);
        let Some(access) = self.run_check(cluster::CHECK.name, check).await else {
            return Ok(());
        };
        if let Some(selectors) = &self.plan.registries {
            let check = registries::run(&self, selectors, session);
            self.run_check(registries::CHECK.name, check).await;
        }
        let check = token::run(&self, session, access);
        let Some(cluster) = self.run_check(token::CHECK.name, check).await else {
            return Ok(());
        };
        let agents = agents::find_all(&self.plan, &cluster).await;
        let new_volume = NewVolume::new(self.plan.deploy, &agents);
        let deploys = agents::would_deploy(self.plan.deploy, &agents);
        for rule in rbac::required() {
            let check = rbac::run(&self, &cluster, &rule, deploys);
            self.run_check(&rbac::CHECK.row_name(rule.resource), check).await;
        }
        let check = storage_class::run(&self, &cluster, new_volume);
        match self.run_check(storage_class::CHECK.name, check).await {
            Some(Some(class)) => {
                let check = csi_driver::run(&cluster, &class, new_volume);
                self.run_check(csi_driver::CHECK.name, check).await;
            }
            Some(None) => list.record(csi_driver::CHECK.name, csi_driver::without_class(new_volume)),
            None => list.skip(&[csi_driver::CHECK.name.to_owned()], storage_class::CHECK.name),
        }
        for agent in &agents {
            if let Some(failed) = self.run_agent_checks(&cluster, agent, has_buildx).await {
                let rows = self.scope.agent_rows(AGENT_CHECKS, &agent.label);
                let names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
                list.skip(&names, &failed);
            }
        }
        Ok(())
    }

    /// Runs the checks of one agent in their order, until one has failed that the next ones require. Returns its row.
    async fn run_agent_checks(&self, cluster: &Cluster, agent: &Agent, has_buildx: bool) -> Option<String> {
        let list = &self.checklist;
        let name = |check: Check| agent.row_name(&check);
        let existing = match &agent.found {
            Ok(found) => found.as_ref(),
            Err(finding) => {
                list.record(&name(agent::CHECK), finding.clone());
                return Some(name(agent::CHECK));
            }
        };
        let check = agent::run(self, cluster, agent, existing);
        self.run_check(&name(agent::CHECK), check).await;
        let check = volume::run(cluster, agent, existing);
        self.run_check(&name(volume::CHECK), check).await;
        if !agent.is_ready() {
            return Some(name(agent::CHECK));
        }
        let check = buildkit::run(cluster, agent);
        let Some(status) = self.run_check(&name(buildkit::CHECK), check).await else {
            return Some(name(buildkit::CHECK));
        };
        list.record(
            &name(disk::CHECK),
            disk::evaluate(status.disk, agent.has_volume()),
        );
        if !self.scope.full {
            return None;
        }
        let check = exec::run(cluster, agent);
        if self.run_check(&name(exec::CHECK), check).await.is_none() {
            return Some(name(exec::CHECK));
        }
        if !has_buildx {
            return Some(buildx::CHECK.name.to_owned());
        }
        let check = build::run(self, agent);
        let Some(first_build) = self.run_check(&name(build::CHECK), check).await else {
            return Some(name(build::CHECK));
        };
        let check = build::run_again(&first_build);
        self.run_check(&name(build::CACHE_CHECK), check).await;
        None
    }
}

/// Runs `doctor`: prints a row for each check, and exits 0 only if a build would work.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let format = args.output.format();
    let print: Option<Print> = match format {
        OutputFormat::Table => Some(Box::new(say)),
        OutputFormat::Json | OutputFormat::Yaml => {
            // Standard output has the result and nothing else.
            output::use_stderr();
            None
        }
    };
    let plan = match crate::inputs::connect(&args.connect) {
        Ok(plan) => plan,
        Err(problem) => return invalid_inputs(problem, format),
    };
    let checklist = guard::block_on(run_async(Arc::new(plan), print))?;
    checklist.finish();
    let results = checklist.results();
    let verdict = table::verdict(&results);
    match format.serialize(&table::json(&results, cli::for_reader))? {
        Some(text) => print_raw(&text)?,
        None => {
            let (Ok(sentence) | Err(sentence)) = &verdict;
            say(sentence);
        }
    }
    Ok(match verdict {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// Reports invalid inputs, which no check can use: for people as the usage error that they are, and in the array as the
/// row `inputs`.
fn invalid_inputs(problem: Problem, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let row = CheckResult {
        name: inputs::CHECK.name.to_owned(),
        finding: problem.clone().into(),
        took: None,
    };
    match format.serialize(&table::json(&[row], cli::for_reader))? {
        Some(text) => {
            print_raw(&text)?;
            Ok(crate::exit_code(&problem))
        }
        None => Err(problem.into()),
    }
}

/// Runs the checks, and removes what they left on this machine.
async fn run_async(plan: Arc<Plan>, print: Option<Print>) -> anyhow::Result<Checklist> {
    let mut guard = Guard::listen()?;
    let scope = Scope::new(&plan, true);
    let checklist = Checklist::new(planned(&scope), print);
    checklist.record(inputs::CHECK.name, inputs::describe(&plan));
    let job_state = match JobState::create(&plan.agents.spec.name) {
        Ok(job_state) => Arc::new(job_state),
        Err(error) => {
            checklist.record(runner::CHECK.name, error.into());
            return Ok(checklist);
        }
    };
    let deadline = Instant::now() + plan.timeout;
    let doctor = Doctor {
        plan: plan.clone(),
        job_state: job_state.clone(),
        scope,
        checklist: checklist.clone(),
        retrier: Retrier::new(deadline, |_| ()),
        server: Arc::default(),
        // Not masked: the output may go into a file, where the mask command would print the secret itself.
        mask: |_| (),
    };
    let work = doctor.clone().run_checks();
    let result = guard.run_until(work, Some(deadline + DEADLINE_GRACE)).await;
    if let Err(Interrupted::Deadline) = result {
        checklist.interrupt(doctor.interrupted(plan.timeout));
    }
    if let Err(error) = job_state.discard() {
        say(&format!("warning: cannot clean up: {error:#}"));
    }
    match result {
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(Interrupted::Deadline) => Ok(checklist),
    }
}
