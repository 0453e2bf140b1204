//! `disconnect`: the machine as it was. Touches nothing in the cluster, and never fails a job.

use super::selection::Selection;
use crate::cli::DisconnectArgs;
use crate::error_code::ErrorCode;
use crate::github;
use crate::problem::Problem;
use crate::report::say;

pub fn run(args: &DisconnectArgs) -> anyhow::Result<()> {
    let selection = match &args.builder {
        Some(name) => Some(Selection::of_builder(name)?.ok_or_else(|| unknown(name))?),
        None => Selection::of_job(),
    };
    let Some(selection) = selection else {
        say("Nothing to disconnect: this job is connected to no agent");
        return Ok(());
    };
    match selection.remove() {
        Ok(()) => say(&format!(
            "Builder {} is removed; the agent and its cache stay",
            selection.builder
        )),
        Err(error) => {
            let text = format!(
                "not everything of the builder {} is removed: {error:#}",
                selection.builder
            );
            github::warning("remote-buildkit", &text);
            say(&text);
        }
    }
    Ok(())
}

/// A name that a user typed: only a builder of ours is removed.
fn unknown(name: &str) -> Problem {
    Problem::new(
        ErrorCode::BuilderNotFound,
        format!("Looked for a builder {name} made by remote-buildkit and found none."),
        "docker buildx ls lists the builders; docker buildx rm removes those of others.",
    )
}
