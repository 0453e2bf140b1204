//! Explains why connect failed: prints the checks that failed, and the passed ones of the same group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check::Scope;
use super::checklist::Checklist;
use super::finding::CheckStatus;
use super::table::Table;
use super::{Doctor, planned};
use crate::commands::guard::{DEADLINE_GRACE, Guard, Interrupted};
use crate::commands::job_state::JobState;
use crate::github;
use crate::inputs::Plan;
use crate::report::say;
use crate::retry::Retrier;

/// How long the checks may delay the error.
const CHECKS_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs the checks with the files that connect wrote, and prints the failed ones. Prints nothing after a signal.
pub(in crate::commands) async fn explain(guard: &mut Guard, plan: &Arc<Plan>, job_state: &Arc<JobState>) {
    let deadline = Instant::now() + CHECKS_TIMEOUT;
    let scope = Scope::new(plan, false);
    let checklist = Checklist::new(planned(&scope), None);
    let doctor = Doctor {
        plan: plan.clone(),
        job_state: job_state.clone(),
        scope,
        checklist: checklist.clone(),
        retrier: Retrier::new(deadline, |_| ()),
        server: Arc::default(),
        mask: github::mask,
    };
    let work = doctor.clone().run_checks();
    match guard.run_until(work, Some(deadline + DEADLINE_GRACE)).await {
        Ok(_) => {}
        Err(Interrupted::Signal(_)) => return,
        Err(Interrupted::Deadline) => checklist.interrupt(doctor.interrupted(CHECKS_TIMEOUT)),
    }
    checklist.finish();
    // In a group with a failed check, warnings explain nothing.
    let failed = checklist.results_of_groups(CheckStatus::Failed, &[CheckStatus::Ok, CheckStatus::Failed]);
    let warned = checklist.results_of_groups(CheckStatus::Warning, &[CheckStatus::Ok, CheckStatus::Warning]);
    let Some(results) = [failed, warned].into_iter().find(|results| !results.is_empty()) else {
        return say("The checks of remote-buildkit doctor found no problem");
    };
    say("remote-buildkit doctor found:");
    let table = Table::new(results.iter().map(|result| result.name.as_str()));
    for result in results {
        let row = table.row(&result).replace('\n', "\n  ");
        say(&format!("  {row}"));
    }
}
