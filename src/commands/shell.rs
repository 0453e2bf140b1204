//! `completions` and `man`: files for shells and for man, generated from the definition of the command line.

use std::path::Path;

use clap::Command;

use crate::cli::{self, CompletionsArgs, ManArgs};
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::report;

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<()> {
    let CompletionsArgs { shell } = args;
    report::print_raw(completion_script(*shell)?.trim_end())
}

fn completion_script(shell: clap_complete::Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    let mut command = without_hidden_flags(&cli::command());
    clap_complete::generate(shell, &mut command, "remote-buildkit", &mut script);
    Ok(String::from_utf8(script)?)
}

/// Returns the command with what a completion script needs, but without hidden flags, which clap_complete would offer.
fn without_hidden_flags(command: &Command) -> Command {
    let flags = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let mut copy = Command::new(command.get_name().to_owned())
        .args(flags.cloned())
        .subcommands(command.get_subcommands().map(without_hidden_flags));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        copy = copy.version(version.to_owned());
    }
    copy
}

/// Writes a man page for the program and one for each command.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let ManArgs { dir } = args;
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    write_man_pages(&command, dir).map_err(|error| {
        Problem::new(
            ErrorCode::CannotWriteFile,
            format!("Cannot write the man pages to {}: {error}.", dir.display()),
            "Create that directory, or give this user write permission; or pass another directory.",
        )
        .into()
    })
}

fn write_man_pages(command: &Command, dir: &Path) -> std::io::Result<()> {
    for subcommand in command.get_subcommands() {
        write_man_pages(subcommand, dir)?;
    }
    let (name, page) = man_page(command)?;
    std::fs::write(dir.join(name), page)
}

/// Returns the file name and the text of a command's man page.
fn man_page(command: &Command) -> std::io::Result<(String, String)> {
    let mut command = command.clone();
    // The page has a heading for them.
    let help = command.get_after_help().map(ToString::to_string);
    if let Some(examples) = help
        .as_deref()
        .and_then(|help| help.strip_prefix("Examples:\n\n"))
    {
        command = command.after_help(examples.to_owned());
    }
    let page = clap_mangen::Man::new(command).source(concat!("remote-buildkit ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    page.render(&mut text)?;
    // clap_mangen cannot name the section of what follows the options.
    let text = String::from_utf8_lossy(&text).replace("\n.SH EXTRA\n", "\n.SH EXAMPLES\n");
    Ok((page.get_filename(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_offer_no_hidden_flags() {
        let script = completion_script(clap_complete::Shell::Fish).expect("a script");
        let has_flag = |command: &str, flag: &str| {
            let condition = format!("using_subcommand {command}\" ");
            let mut lines = script.lines().filter(|line| line.contains(&condition));
            lines.any(|line| line.contains(&format!(" -l {flag} ")))
        };
        for flag in ["as-user", "audience", "role-to-assume"] {
            assert!(!has_flag("runner", flag), "{flag}");
        }
        assert!(has_flag("runner", "ecr") && has_flag("connect", "audience"));
        for command in ["doctor", "matrix"] {
            assert!(
                has_flag(command, "output") && !has_flag(command, "json"),
                "{command}"
            );
        }
        // Global flags and the descriptions of commands stay.
        assert!(has_flag("runner", "color") && script.contains("Delete agents"));
    }

    #[test]
    fn man_page_of_a_command() {
        let mut command = cli::command();
        command.build();
        let destroy = command.find_subcommand("destroy").expect("destroy");
        let (name, page) = man_page(destroy).expect("a page");
        assert_eq!(name, "remote-buildkit-destroy.1");
        insta::assert_snapshot!(page.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }
}
