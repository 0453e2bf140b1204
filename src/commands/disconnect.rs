//! The command `disconnect`: removes from this machine what `connect` added. It changes nothing in the cluster, and never
//! fails a job.

use super::job_state::JobState;
use crate::cli::DisconnectArgs;
use crate::error_code::ErrorCode;
use crate::github;
use crate::problem::Problem;
use crate::report::say;

pub fn run(args: &DisconnectArgs) -> anyhow::Result<()> {
    let job_state = match &args.builder {
        Some(name) => Some(JobState::find_by_builder(name)?.ok_or_else(|| unknown(name))?),
        None => JobState::restore(),
    };
    let Some(job_state) = job_state else {
        if !github::in_job() {
            return Err(builder_required().into());
        }
        say("Nothing to disconnect: no connect step of this job saved a builder");
        return Ok(());
    };
    match job_state.remove() {
        Ok(()) => say(&format!(
            "Removed builder {}; the agent and its cache are kept",
            job_state.builder
        )),
        Err(error) => {
            let text = format!(
                "Could not remove everything of the builder {}: {error:#}.",
                job_state.builder
            );
            github::warn(&Problem::new(ErrorCode::CleanupIncomplete, &text, ""));
            say(&format!("warning: {text}"));
        }
    }
    Ok(())
}

/// Returns the error for a person who names no builder: only a job knows its own.
fn builder_required() -> Problem {
    Problem::new(
        ErrorCode::InvalidInput,
        "`--builder` is required.",
        "List the builders with docker buildx ls.",
    )
}

/// Returns the error for a builder name that a user typed: only a builder of remote-buildkit is removed.
fn unknown(name: &str) -> Problem {
    Problem::new(
        ErrorCode::BuilderNotFound,
        format!("remote-buildkit created no builder named {name}."),
        "List the builders with docker buildx ls; remove builders of other tools with docker buildx rm.",
    )
}
