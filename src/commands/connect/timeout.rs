//! The error of a timeout: what it interrupted, and the last completed step.

use crate::error_code::ErrorCode;
use crate::inputs::Plan;
use crate::problem::{self, Problem};
use crate::report::Report;

/// Adds the timeout and the last completed step to an error that came at the timeout.
pub(super) fn annotate(error: anyhow::Error, plan: &Plan, report: &Report) -> anyhow::Error {
    problem::annotate(error, describe(plan, report))
}

/// Returns the error for a step that did not end by itself.
pub(super) fn timed_out(plan: &Plan, report: &Report, last_error: Option<Problem>) -> Problem {
    let timed_out = describe(plan, report);
    match last_error {
        Some(last_error) => Problem::new(
            ErrorCode::TimedOut,
            format!("{timed_out} The last error: {}", last_error.what),
            last_error.remedy,
        ),
        None => Problem::new(
            ErrorCode::TimedOut,
            timed_out,
            "Check what this runner can reach (AWS, GitHub, the API server), and that the credential plugin of the kubeconfig \
             ends, or raise `timeout`.",
        ),
    }
}

fn describe(plan: &Plan, report: &Report) -> String {
    let completed = match report.last() {
        Some(step) => format!("The last completed step: {step}."),
        None => "No step was completed.".into(),
    };
    format!(
        "Connecting took longer than the timeout of {} s. {completed}",
        plan.timeout.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::inputs;

    /// The errors of a timeout, as they are printed.
    #[test]
    fn errors_of_a_timeout() {
        let line = ["remote-buildkit", "connect", "--cluster=shop", "--timeout=90s"];
        let Command::Connect(args) = Cli::parse_from(line).command else {
            panic!("not connect");
        };
        let plan = inputs::connect(&args).expect("valid inputs");
        let report = Report::start();
        let problem = Problem::new(
            ErrorCode::ClusterUnreachable,
            "Asked the API server and got no response.",
            "Check it.",
        );
        let errors = [
            timed_out(&plan, &report, None).to_string(),
            timed_out(&plan, &report, Some(problem.clone())).to_string(),
            annotate(problem.clone().into(), &plan, &report).to_string(),
            {
                report.done("Signed in with the default AWS credentials");
                annotate(problem.into(), &plan, &report).to_string()
            },
        ];
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
