//! `completions` and `man`: files for shells and for man, generated from the definition of the command line.

use anyhow::Context as _;

use crate::cli::{self, CompletionsArgs, ManArgs};
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
    clap_mangen::generate_to(cli::command(), dir)
        .with_context(|| format!("could not write man pages to {}", dir.display()))
}
