//! Explains why connect failed: prints the doctor's rows that failed, and the good ones of the same group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checks::Checks;
use super::{Doctor, plan};
use crate::cli;
use crate::commands::guard::{Guard, Interrupted};
use crate::commands::job_state::JobState;
use crate::diagnosis::{CheckStatus, Table};
use crate::github;
use crate::inputs::Plan;
use crate::report::say;
use crate::retry::Retrier;

/// How long the checks may delay the error.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(4);

/// Runs the checks with the files that connect wrote, and prints the failed ones. Prints nothing after a signal.
pub(in crate::commands) async fn explain(guard: &mut Guard, plan: &Arc<Plan>, job_state: &Arc<JobState>) {
    let deadline = Instant::now() + CHECKS_TIMEOUT;
    let checks = Checks::new(plan::of(plan, false), false);
    let doctor = Doctor {
        plan: plan.clone(),
        job_state: job_state.clone(),
        checks: checks.clone(),
        retrier: Retrier::new(deadline, |_| ()),
        mask: github::mask,
        builds: false,
    };
    if let Err(Interrupted::Signal(_)) = guard.run_until(doctor.run_checks(), Some(deadline)).await {
        return;
    }
    checks.finish(&format!("no response within {} s", CHECKS_TIMEOUT.as_secs()));
    // In a group with a failed check, warnings explain nothing.
    let failed = checks.rows_of_groups(CheckStatus::Failed, &[CheckStatus::Ok, CheckStatus::Failed]);
    let warned = checks.rows_of_groups(CheckStatus::Warning, &[CheckStatus::Ok, CheckStatus::Warning]);
    let Some(rows) = [failed, warned].into_iter().find(|rows| !rows.is_empty()) else {
        return say("The checks of remote-buildkit doctor found no problem");
    };
    say("remote-buildkit doctor found:");
    let table = Table::of(rows.iter().map(|check| check.name.as_str()));
    for check in rows {
        say(&cli::for_reader(&format!(
            "  {}",
            table.row(&check).replace('\n', "\n  ")
        )));
    }
}
