//! `doctor`: the road from here to a build, looked at piece by piece. Changes nothing in the cluster but the cache of an
//! agent, by a few bytes, and leaves nothing on the machine.

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
use crate::cli::DoctorArgs;
use crate::diagnosis::{Finding, json, verdict, versions};
use crate::inputs::{self, Plan};
use crate::report::{say, verbatim};
use crate::retry::Retrier;
use crate::secret::Secret;

use checks::Checks;
pub(super) use explain::explain;

pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let checks = match inputs::connect(&args.connect) {
        Ok(plan) => guard::block_on(run_async(Arc::new(plan), !args.json))?,
        Err(problem) => {
            let checks = Checks::new(plan::without_inputs(), !args.json);
            checks.record(plan::INPUTS, problem.into());
            checks
        }
    };
    checks.finish("");
    let checks = checks.rows();
    let verdict = verdict(&checks);
    if args.json {
        verbatim(&format!("{:#}", json(&checks)))?;
    } else {
        let (Ok(sentence) | Err(sentence)) = &verdict;
        say(sentence);
    }
    Ok(if verdict.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Looks, and leaves nothing behind.
async fn run_async(plan: Arc<Plan>, shown: bool) -> anyhow::Result<Checks> {
    let mut guard = Guard::listen()?;
    let checks = Checks::new(plan::of(&plan, true), shown);
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
        // What is printed may go into a file, where a mask would be the secret itself.
        mask: |_| (),
        builds: true,
    };
    let looked = guard.run_until(doctor.run_checks(), Some(deadline)).await;
    if let Err(Interrupted::Deadline) = looked {
        let seconds = plan.timeout.as_secs();
        checks.finish(&format!("no response within the timeout of {seconds} s"));
    }
    if let Err(error) = job_state.discard() {
        say(&format!("could not clean up: {error:#}"));
    }
    match looked {
        Err(Interrupted::Signal(name)) => Err(anyhow::anyhow!("stopped by {name}")),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(Interrupted::Deadline) => Ok(checks),
    }
}

/// One walk along the road.
struct Doctor {
    plan: Arc<Plan>,
    job_state: Arc<JobState>,
    checks: Checks,
    retrier: Retrier,
    mask: fn(&Secret),
    /// Whether builds are tried, and the daemon is asked for longer than a moment.
    builds: bool,
}

impl Doctor {
    /// The checks, in their order. One that needs what an earlier one did not find is not made.
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
        let Some(limits) = self.endpoint(session).await else {
            return Ok(());
        };
        self.registries(session).await;
        let Some(cluster) = self.token(session, limits).await else {
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

    /// Whether connect could write what it has to.
    async fn runner(&self) -> anyhow::Result<(Finding, ())> {
        let folder = Store::writable()?;
        let finding = Finding::ok(format!(
            "can create a private directory in {}, and builders in {}",
            self.job_state
                .dir
                .parent()
                .unwrap_or(&self.job_state.dir)
                .display(),
            folder.display()
        ));
        Ok((finding, ()))
    }

    async fn buildx(&self) -> anyhow::Result<(Finding, ())> {
        buildx::check_installed()?;
        let version = tokio::time::timeout(VERSION_WITHIN, buildx::version(&self.job_state.dir)).await;
        let version = version.map_err(|_| {
            anyhow::anyhow!(
                "buildx version did not finish within {} s",
                VERSION_WITHIN.as_secs()
            )
        })??;
        Ok((versions::buildx(&version), ()))
    }
}

const VERSION_WITHIN: Duration = Duration::from_secs(30);
