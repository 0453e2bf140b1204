//! The timeout: what it interrupted, and how far connecting had come.

use crate::error_code::ErrorCode;
use crate::inputs::Plan;
use crate::problem::{self, Problem};
use crate::report::Report;

/// An error that comes at the timeout also says so, and how far it got.
pub(super) fn told(error: anyhow::Error, plan: &Plan, report: &Report) -> anyhow::Error {
    problem::annotate(error, until(plan, report))
}

/// Whatever was under way did not end by itself.
pub(super) fn cut_off(plan: &Plan, report: &Report, trouble: Option<Problem>) -> Problem {
    let until = until(plan, report);
    match trouble {
        Some(trouble) => Problem::new(
            ErrorCode::TimedOut,
            format!("{until} The last error: {}", trouble.what),
            trouble.remedy,
        ),
        None => Problem::new(
            ErrorCode::TimedOut,
            until,
            "Whatever comes after that step does not answer; see what this runner may reach, or give it more `timeout`.",
        ),
    }
}

fn until(plan: &Plan, report: &Report) -> String {
    format!(
        "Connecting took longer than the timeout of {} s; the last step that was done: {}.",
        plan.timeout.as_secs(),
        report.last()
    )
}
