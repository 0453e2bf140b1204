//! The command `doctor`: checks every step from this machine to a build. Its only change in the cluster is a few bytes of
//! an agent's cache, and it leaves nothing on this machine.

mod access;
mod agents;
mod checks;
mod explain;
mod plan;
mod storage;
mod trial;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guard::{self, Guard, Interrupted};
use super::job_state::JobState;
use crate::buildx::{self, Store};
use crate::cli::{DoctorArgs, OutputFormat};
use crate::diagnosis::{Finding, json, verdict, versions};
use crate::inputs::{self, Plan};
use crate::report::{print_raw, say};
use crate::retry::Retrier;
use crate::secret::Secret;

use checks::Checks;
pub(super) use explain::explain;

/// Runs `doctor`: prints a row for each check, and exits 0 only if a build would work.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let format = args.output.format();
    let structured = format != OutputFormat::Table;
    let checks = match inputs::connect(&args.connect) {
        Ok(plan) => guard::block_on(run_async(Arc::new(plan), !structured))?,
        Err(problem) => {
            let checks = Checks::new(plan::without_inputs(), !structured);
            checks.record(plan::INPUTS, problem.into());
            checks
        }
    };
    checks.finish("");
    let checks = checks.rows();
    let verdict = verdict(&checks);
    match format.serialize(&json(&checks))? {
        Some(text) => print_raw(&text)?,
        None => {
            let (Ok(sentence) | Err(sentence)) = &verdict;
            say(sentence);
        }
    }
    Ok(if verdict.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the checks, and removes what they left on this machine.
async fn run_async(plan: Arc<Plan>, printed: bool) -> anyhow::Result<Checks> {
    let mut guard = Guard::listen()?;
    let checks = Checks::new(plan::of(&plan, true), printed);
    checks.record(plan::INPUTS, plan::inputs(&plan));
    let job_state = match JobState::create(&plan.agents.spec.name) {
        Ok(job_state) => Arc::new(job_state),
        Err(error) => {
            checks.record(plan::RUNNER, error.into());
            return Ok(checks);
        }
    };
    let deadline = Instant::now() + plan.timeout;
    let doctor = Doctor {
        plan: plan.clone(),
        job_state: job_state.clone(),
        checks: checks.clone(),
        retrier: Retrier::new(deadline, |_| ()),
        // Not masked: the output may go into a file, where the mask command would print the secret itself.
        mask: |_| (),
        builds: true,
    };
    let result = guard.run_until(doctor.run_checks(), Some(deadline)).await;
    if let Err(Interrupted::Deadline) = result {
        let seconds = plan.timeout.as_secs();
        checks.finish(&format!("no response within the timeout of {seconds} s"));
    }
    if let Err(error) = job_state.discard() {
        say(&format!("could not clean up: {error:#}"));
    }
    match result {
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(Interrupted::Deadline) => Ok(checks),
    }
}

/// What the checks need.
struct Doctor {
    plan: Arc<Plan>,
    job_state: Arc<JobState>,
    checks: Checks,
    retrier: Retrier,
    mask: fn(&Secret),
    /// Whether to check this machine and to run builds, which takes longer.
    builds: bool,
}

impl Doctor {
    /// Runs the checks in their order. A check is skipped if an earlier one failed that it requires.
    async fn run_checks(self) -> anyhow::Result<()> {
        let checks = &self.checks;
        let mut builds = false;
        if self.builds {
            checks.run(plan::RUNNER, self.runner()).await;
            builds = checks.run(plan::BUILDX, self.buildx()).await.is_some();
        }
        let Some(session) = self.identity().await else {
            return Ok(());
        };
        let session = session.as_ref();
        let Some(access) = self.endpoint(session).await else {
            return Ok(());
        };
        self.registries(session).await;
        let Some(cluster) = self.token(session, access).await else {
            return Ok(());
        };
        let agents = self.agents(&cluster).await;
        self.permissions(&cluster, &agents).await;
        self.storage(&cluster, &agents).await;
        for agent in &agents {
            let serves = self.agent(&cluster, agent).await;
            if builds && serves {
                self.trial(agent).await;
            }
            checks.skip(&agent.checks());
        }
        Ok(())
    }

    /// Checks that connect can write its files.
    async fn runner(&self) -> anyhow::Result<(Finding, ())> {
        let dir = Store::writable()?;
        let finding = Finding::ok(format!(
            "can create a private directory in {}, and builders in {}",
            self.job_state
                .dir
                .parent()
                .unwrap_or(&self.job_state.dir)
                .display(),
            dir.display()
        ));
        Ok((finding, ()))
    }

    /// Checks that buildx is installed, and its version.
    async fn buildx(&self) -> anyhow::Result<(Finding, ())> {
        buildx::check_installed()?;
        let version = tokio::time::timeout(VERSION_TIMEOUT, buildx::version(&self.job_state.dir)).await;
        let version = version.map_err(|_| {
            anyhow::anyhow!(
                "buildx version did not finish within {} s",
                VERSION_TIMEOUT.as_secs()
            )
        })??;
        Ok((versions::buildx(&version), ()))
    }
}

const VERSION_TIMEOUT: Duration = Duration::from_secs(30);
