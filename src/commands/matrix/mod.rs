//! `matrix`: which images of a repository a change touches. Reads files, asks buildx, Git and perhaps GitHub; changes
//! nothing.

pub mod changed;
mod difference;
mod targets;
mod tell;
mod workplace;

use std::sync::Arc;

use super::guard::{self, Guard, Interrupted};
use crate::cli::MatrixArgs;
use crate::github;
use crate::inputs::{self, Matrix};
use crate::matrix::folders::with_folders;
use crate::matrix::parts::gather;
use crate::matrix::plan::{self, Plan};
use crate::output;
use crate::report::Report;
use changed::{Changed, Question, changed};
use workplace::Workplace;

pub fn run(args: &MatrixArgs) -> anyhow::Result<()> {
    let asked = inputs::matrix(args)?;
    if let Some(token) = &asked.token {
        github::mask(token);
    }
    if asked.json || asked.explain.is_some() {
        output::aside();
    }
    guard::block_on(run_async(Arc::new(asked)))
}

/// A signal ends buildx and Git as well.
async fn run_async(asked: Arc<Matrix>) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    match guard.run_until(matrix(asked), None).await {
        Ok(done) => done,
        Err(Interrupted::Signal(name)) => Err(anyhow::anyhow!("stopped by {name}")),
        Err(Interrupted::Deadline) => Err(anyhow::anyhow!("out of time")),
    }
}

async fn matrix(asked: Arc<Matrix>) -> anyhow::Result<()> {
    let report = Report::start();
    let workplace = Workplace::open(&asked.workdir)?;
    let (targets, definition) = targets::find(&asked, &workplace, &report).await?;
    let parts = workplace.read(|repository| gather(&targets, repository));
    report.done(&format!(
        "Read what goes into {}",
        tell::number(parts.len(), "target")
    ));
    if let Some(target) = &asked.explain {
        return tell::explained(target, &targets, &parts, &definition, &workplace);
    }
    tell::faults(&parts);
    let question = Question {
        root: &workplace.top,
        base: asked.base.as_deref(),
        token: asked.token.clone().or_else(tell::token),
    };
    let changed = changed(&question, &report).await?;
    let plan = match &changed {
        Changed::Everything { reason } => Plan::everything(&targets, reason.clone()),
        Changed::These { changes, .. } => match plan::everything(changes, &definition) {
            Some(reason) => Plan::everything(&targets, reason),
            None => Plan::of(&targets, &parts, &with_folders(changes, &workplace.tree)),
        },
    };
    tell::planned(&asked, &targets, &plan, &changed)
}
