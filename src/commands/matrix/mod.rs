//! `matrix`: outputs a job matrix of the images that a change affects. Reads files, buildx, Git and, if needed, GitHub's API;
//! modifies nothing.

pub mod changes;
mod checkout;
mod output;
mod targets;
mod tree_diff;

use std::sync::Arc;

use super::guard::{self, Guard, Interrupted};
use crate::cli::{MatrixArgs, OutputFormat};
use crate::github;
use crate::inputs::{self, MatrixInputs};
use crate::matrix::build_inputs::collect;
use crate::matrix::directories::with_directories;
use crate::matrix::plan::{self, Plan};
use crate::matrix::table::count;
use crate::output::use_stderr;
use crate::report::Report;
use changes::{ChangeQuery, DetectedChanges, detect_changes};
use checkout::Checkout;

pub fn run(args: &MatrixArgs) -> anyhow::Result<()> {
    let inputs = inputs::matrix(args)?;
    if let Some(token) = &inputs.token {
        github::mask(token);
    }
    if inputs.format != OutputFormat::Table || inputs.explain.is_some() {
        use_stderr();
    }
    guard::block_on(run_async(Arc::new(inputs)))
}

/// Runs the command until it ends or a signal arrives, which also ends buildx and Git.
async fn run_async(inputs: Arc<MatrixInputs>) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    match guard.run_until(matrix(inputs), None).await {
        Ok(done) => done,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => Err(anyhow::anyhow!("out of time")),
    }
}

async fn matrix(inputs: Arc<MatrixInputs>) -> anyhow::Result<()> {
    let report = Report::start();
    let checkout = Checkout::open(&inputs.workdir)?;
    let (targets, definition) = targets::find_targets(&inputs, &checkout, &report).await?;
    let build_inputs = checkout.with_files(|repository| collect(&targets, repository));
    report.done(&format!(
        "Read the inputs of {}",
        count(build_inputs.len(), "target")
    ));
    if let Some(target) = &inputs.explain {
        return output::explain(target, &targets, &build_inputs, &definition, &checkout);
    }
    output::warn_of_dockerfile_errors(&build_inputs);
    let query = ChangeQuery {
        root: &checkout.root_dir,
        base: inputs.base.as_deref(),
        token: inputs.token.clone().or_else(output::environment_token),
    };
    let detected = detect_changes(&query, &report).await?;
    let plan = match &detected {
        DetectedChanges::Unknown { reason } => Plan::build_all(&targets, reason.clone()),
        DetectedChanges::Known { changes, .. } => match plan::build_all_because(changes, &definition) {
            Some(reason) => Plan::build_all(&targets, reason),
            None => {
                let changes = with_directories(changes, &checkout.tree);
                Plan::from_changes(&targets, &build_inputs, &changes)
            }
        },
    };
    output::print_plan(&inputs, &targets, &plan, &detected)
}
