//! `doctor`: the road from here to a build, looked at piece by piece. Changes nothing in the cluster but the cache of an
//! agent, by a few bytes, and leaves nothing on the machine.

mod agents;
mod explain;
mod findings;
mod plan;
mod road;
mod storage;
mod trial;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guard::{self, Ended, Guard};
use super::selection::Selection;
use crate::buildx::{self, Store};
use crate::cli::DoctorArgs;
use crate::diagnosis::{Finding, json, verdict, versions};
use crate::inputs::{self, Plan};
use crate::report::{say, verbatim};
use crate::retry::Retrier;
use crate::secret::Secret;

pub(super) use explain::explain;
use findings::Findings;

pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let findings = match inputs::connect(&args.connect) {
        Ok(plan) => guard::block_on(guarded(Arc::new(plan), !args.json))?,
        Err(problem) => {
            let findings = Findings::new(plan::without_inputs(), !args.json);
            findings.note(plan::INPUTS, problem.into());
            findings
        }
    };
    findings.close("");
    let checks = findings.checks();
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
async fn guarded(plan: Arc<Plan>, shown: bool) -> anyhow::Result<Findings> {
    let mut guard = Guard::listen()?;
    let findings = Findings::new(plan::of(&plan, true), shown);
    findings.note(plan::INPUTS, plan::inputs(&plan));
    let selection = match Selection::create(&plan.agents.spec.name) {
        Ok(selection) => Arc::new(selection),
        Err(error) => {
            findings.note(plan::RUNNER, error.into());
            return Ok(findings);
        }
    };
    let deadline = Instant::now() + plan.timeout;
    let visit = Visit {
        plan: plan.clone(),
        selection: selection.clone(),
        findings: findings.clone(),
        retrier: Retrier::new(deadline, |_| ()),
        // What is printed may go into a file, where a mask would be the secret itself.
        mask: |_| (),
        builds: true,
    };
    let looked = guard.over(visit.walk(), Some(deadline)).await;
    if let Err(Ended::Deadline) = looked {
        let seconds = plan.timeout.as_secs();
        findings.close(&format!("nothing came until the timeout of {seconds} s"));
    }
    if let Err(error) = selection.discard() {
        say(&format!("could not clean up: {error:#}"));
    }
    match looked {
        Err(Ended::Signal(name)) => Err(anyhow::anyhow!("stopped by {name}")),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(Ended::Deadline) => Ok(findings),
    }
}

/// One walk along the road.
struct Visit {
    plan: Arc<Plan>,
    selection: Arc<Selection>,
    findings: Findings,
    retrier: Retrier,
    mask: fn(&Secret),
    /// Whether builds are tried, and the daemon is asked for longer than a moment.
    builds: bool,
}

impl Visit {
    /// The checks, in their order. One that needs what an earlier one did not find is not made.
    async fn walk(self) -> anyhow::Result<()> {
        let findings = &self.findings;
        let mut builds = false;
        if self.builds {
            findings.look(plan::RUNNER, self.runner()).await;
            builds = findings.look(plan::BUILDX, self.buildx()).await.is_some();
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
            findings.skip(&agent.checks());
        }
        Ok(())
    }

    /// Whether connect could write what it has to.
    async fn runner(&self) -> anyhow::Result<(Finding, ())> {
        let folder = Store::writable()?;
        let finding = Finding::ok(format!(
            "a private folder can be made in {}, and builders in {}",
            self.selection
                .folder
                .parent()
                .unwrap_or(&self.selection.folder)
                .display(),
            folder.display()
        ));
        Ok((finding, ()))
    }

    async fn buildx(&self) -> anyhow::Result<(Finding, ())> {
        buildx::check_installed()?;
        let version = tokio::time::timeout(VERSION_WITHIN, buildx::version(&self.selection.folder)).await;
        let version = version.map_err(|_| anyhow::anyhow!("buildx version does not end"))??;
        Ok((versions::buildx(&version), ()))
    }
}

const VERSION_WITHIN: Duration = Duration::from_secs(30);
