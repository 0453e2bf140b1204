//! Checks that ECR gives passwords. Builds need them; the other checks do not.

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::aws::Session;
use crate::commands::registries;
use crate::inputs::Registries;

pub const CHECK: Check = Check {
    applies: |scope| scope.registries,
    ..Check::new("registries", CheckGroup::Aws)
};

/// Logs in to the registries of the input `ecr`.
pub async fn run(
    doctor: &Doctor,
    selectors: &Registries,
    session: Option<&Session>,
) -> anyhow::Result<(Finding, ())> {
    let Doctor {
        job_state,
        retrier,
        mask,
        ..
    } = doctor;
    let registries = registries::log_in(selectors, session, job_state, retrier, *mask).await?;
    Ok((Finding::ok(registries::named(&registries)), ()))
}
