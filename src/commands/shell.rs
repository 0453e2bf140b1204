//! `completions` and `man`: files for shells and for man, generated from the definition of the command line.

use crate::cli::{self, CompletionsArgs, ManArgs};
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::report;

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let CompletionsArgs { shell } = args;
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut cli::command(), "remote-buildkit", &mut script);
    report::print_raw(String::from_utf8(script)?.trim_end())
}

/// Writes a man page for the program and one for each command.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let ManArgs { dir } = args;
    clap_mangen::generate_to(cli::command(), dir).map_err(|error| {
        Problem::new(
            ErrorCode::CannotWriteFile,
            format!("Cannot write the man pages to {}: {error}.", dir.display()),
            "Create that directory, or give this user write permission; or pass another directory.",
        )
        .into()
    })
}
