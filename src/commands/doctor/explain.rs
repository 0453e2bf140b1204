//! Why connect failed: the part of the doctor's table that is not as it should be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::checks::Checks;
use super::{Doctor, plan};
use crate::commands::guard::{Guard, Interrupted};
use crate::commands::job_state::JobState;
use crate::diagnosis::{CheckStatus, Table};
use crate::github;
use crate::inputs::Plan;
use crate::report::{Report, say};
use crate::retry::Retrier;

/// No more than this comes between a failure and its error.
const WITHIN: Duration = Duration::from_secs(4);

/// Looks again at the road that connect has gone, with what it left in its folder, and prints where it ends. Says
/// nothing when a signal wants this to end.
pub(in crate::commands) async fn explain(guard: &mut Guard, plan: &Arc<Plan>, job_state: &Arc<JobState>) {
    let deadline = Instant::now() + WITHIN;
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
    checks.finish(&format!("no response within {} s", WITHIN.as_secs()));
    // Of a part in which something failed, what only might be better explains nothing.
    let failed = checks.rows_of_groups(CheckStatus::Failed, &[CheckStatus::Ok, CheckStatus::Failed]);
    let warned = checks.rows_of_groups(CheckStatus::Warning, &[CheckStatus::Ok, CheckStatus::Warning]);
    let Some(rows) = [failed, warned].into_iter().find(|rows| !rows.is_empty()) else {
        return say("The checks of remote-buildkit doctor found no problem");
    };
    say("remote-buildkit doctor found:");
    let table = Table::of(rows.iter().map(|check| check.name.as_str()));
    for check in rows {
        Report::detail(&table.row(&check).replace('\n', "\n  "));
    }
}
