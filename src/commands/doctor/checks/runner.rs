//! Checks that connect can write its files on this machine.

use std::path::Path;

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::buildx::Store;

pub const CHECK: Check = Check {
    applies: |scope| scope.full,
    ..Check::new("runner", CheckGroup::Runner)
};

/// Checks buildx's directory. The job's directory exists already.
pub async fn run(doctor: &Doctor) -> anyhow::Result<(Finding, ())> {
    let buildx_dir = Store::writable()?;
    let job_dir = &doctor.job_state.dir;
    Ok((evaluate(job_dir.parent().unwrap_or(job_dir), &buildx_dir), ()))
}

/// Returns the finding for directories that can be written.
pub fn evaluate(temporary_dir: &Path, buildx_dir: &Path) -> Finding {
    Finding::ok(format!(
        "can create a private directory in {}, and builders in {}",
        temporary_dir.display(),
        buildx_dir.display()
    ))
}
