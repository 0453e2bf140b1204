//! Colors of the lines that people read.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::env;

/// Whether lines on standard output are printed in color.
static STDOUT: AtomicBool = AtomicBool::new(false);

/// Whether the label of an error on standard error is printed in color.
static STDERR: AtomicBool = AtomicBool::new(false);

/// Parameters of the control sequences.
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "32";

/// Labels and marks at the start of a line, with their colors.
const LABELS: [(&str, &str); 5] = [
    ("error:", RED),
    ("warning:", YELLOW),
    ("✓", GREEN),
    ("!", YELLOW),
    ("✗", RED),
];

/// Decides whether to print in color, from the flag `--color`, the environment and the two streams.
pub fn init(choice: clap::ColorChoice) {
    let is_on = |terminal: bool| is_on(choice, env::get, env::in_job(), terminal);
    STDOUT.store(is_on(std::io::stdout().is_terminal()), Ordering::Relaxed);
    STDERR.store(is_on(std::io::stderr().is_terminal()), Ordering::Relaxed);
}

/// Returns whether a stream is printed in color: on a terminal, and in a job's log, which GitHub shows in color. The
/// flag overrides NO_COLOR (<https://no-color.org>), which overrides CLICOLOR_FORCE and CLICOLOR
/// (<https://bixense.com/clicolors/>). clap follows the same rules for help and usage errors.
fn is_on(
    choice: clap::ColorChoice,
    variable: impl Fn(&str) -> Option<String>,
    in_job: bool,
    terminal: bool,
) -> bool {
    let is_zero = |name: &str| variable(name).map(|value| value == "0");
    match choice {
        clap::ColorChoice::Always => true,
        clap::ColorChoice::Never => false,
        clap::ColorChoice::Auto if variable(env::NO_COLOR).is_some() => false,
        clap::ColorChoice::Auto if is_zero(env::CLICOLOR_FORCE) == Some(false) => true,
        clap::ColorChoice::Auto if is_zero(env::CLICOLOR) == Some(true) => false,
        clap::ColorChoice::Auto => in_job || terminal && variable(env::TERM).as_deref() != Some("dumb"),
    }
}

/// Returns a line of standard output with its label or mark in color, if color is on. The line may be indented.
pub fn of_stdout(line: &str) -> Cow<'_, str> {
    painted(line, STDOUT.load(Ordering::Relaxed))
}

/// Returns a line of standard error with its label or mark in color, if color is on.
pub fn of_stderr(line: &str) -> Cow<'_, str> {
    painted(line, STDERR.load(Ordering::Relaxed))
}

fn painted(line: &str, on: bool) -> Cow<'_, str> {
    let text = line.trim_start_matches(' ');
    let indent = &line[..line.len() - text.len()];
    for (label, color) in LABELS.into_iter().filter(|_| on) {
        if let Some(rest) = text.strip_prefix(label).filter(|rest| rest.starts_with(' ')) {
            return format!("{indent}\x1b[{color}m{label}\x1b[0m{rest}").into();
        }
    }
    line.into()
}

#[cfg(test)]
mod tests {
    use clap::ColorChoice::{Always, Auto, Never};

    use super::*;

    #[test]
    fn labels_and_marks_are_painted() {
        for (line, expected) in [
            ("error: Agent failed", "\x1b[1;31merror:\x1b[0m Agent failed"),
            (
                "  warning: disk is full",
                "  \x1b[1;33mwarning:\x1b[0m disk is full",
            ),
            ("✓ agent  ready", "\x1b[32m✓\x1b[0m agent  ready"),
            ("! disk   91 %", "\x1b[1;33m!\x1b[0m disk   91 %"),
            ("✗ build  failed", "\x1b[1;31m✗\x1b[0m build  failed"),
            ("errors: none", "errors: none"),
            ("!important", "!important"),
            ("no error: fine", "no error: fine"),
            ("", ""),
        ] {
            assert_eq!(painted(line, true), expected);
            assert_eq!(painted(line, false), line);
        }
    }

    #[test]
    fn flag_overrides_variables_and_variables_override_the_stream() {
        // The flag, the variables, in a job, on a terminal; and whether color is on.
        let cases: [(_, &[(&str, &str)], _, _, _); 14] = [
            (Auto, &[], false, false, false),
            (Auto, &[], false, true, true),
            (Auto, &[], true, false, true),
            (Auto, &[("TERM", "dumb")], false, true, false),
            (Auto, &[("TERM", "dumb")], true, false, true),
            (Auto, &[("NO_COLOR", "1")], false, true, false),
            (Auto, &[("NO_COLOR", "1")], true, false, false),
            (Auto, &[("CLICOLOR_FORCE", "1")], false, false, true),
            (Auto, &[("CLICOLOR_FORCE", "0")], false, false, false),
            (Auto, &[("CLICOLOR", "0")], false, true, false),
            (Auto, &[("CLICOLOR", "1")], false, false, false),
            (
                Auto,
                &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
                false,
                true,
                false,
            ),
            (Always, &[("NO_COLOR", "1")], false, false, true),
            (Never, &[("CLICOLOR_FORCE", "1")], true, true, false),
        ];
        for (choice, variables, in_job, terminal, expected) in cases {
            let variable = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name)?;
                Some(found.1.to_owned())
            };
            assert_eq!(
                is_on(choice, variable, in_job, terminal),
                expected,
                "{choice} {variables:?} in a job: {in_job}, on a terminal: {terminal}"
            );
        }
    }
}
