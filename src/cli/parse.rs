//! Parses the command line.

use std::ffi::OsString;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{BoolishValueParser, StyledStr};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _};

use super::Cli;
use super::action_inputs::JOB_ONLY;
use super::help::long_version;
use super::wording::inputs_as_flags;

/// Prefix of the environment variable of each flag: `--storage-class` is `REMOTE_BUILDKIT_STORAGE_CLASS`.
const ENV_PREFIX: &str = "REMOTE_BUILDKIT_";

/// The colors of help and usage errors, the same as in Cargo.
const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold())
    .valid(AnsiColor::Cyan.on_default().bold())
    .invalid(AnsiColor::Yellow.on_default().bold());

/// Commands whose flags are not read from the environment. Clients call `token` by the kubeconfig, and
/// `REMOTE_BUILDKIT_SESSION` is another variable.
const WITHOUT_ENV: [&str; 3] = ["token", "completions", "man"];

/// Returns the definition of the command line. A flag overrides an input of the action, and an input overrides the
/// flag's environment variable.
pub fn command() -> clap::Command {
    Cli::command()
        .styles(STYLES)
        .long_version(long_version())
        .mut_subcommand("runner", |runner| {
            JOB_ONLY.iter().fold(runner, |runner, name| {
                runner.mut_arg(name.replace('-', "_"), |arg| arg.hide(true))
            })
        })
        .mut_subcommand("demo", super::demo::adapt)
        .mut_args(with_env)
        .mut_subcommands(|subcommand| {
            let subcommand = subcommand.mut_args(with_flags_in_help);
            if WITHOUT_ENV.contains(&subcommand.get_name()) {
                subcommand
            } else {
                subcommand.mut_args(with_env)
            }
        })
}

/// Writes the inputs in the help of a flag as flags. The help is also the description of the action's input.
fn with_flags_in_help(arg: clap::Arg) -> clap::Arg {
    let as_flags = |help: &StyledStr| StyledStr::from(inputs_as_flags(&help.to_string()).into_owned());
    let (short, long) = (arg.get_help().map(as_flags), arg.get_long_help().map(as_flags));
    let arg = short.into_iter().fold(arg, clap::Arg::help);
    long.into_iter().fold(arg, clap::Arg::long_help)
}

/// Adds the environment variable of a flag. An empty variable counts as absent, like an empty input.
fn with_env(arg: clap::Arg) -> clap::Arg {
    let Some(name) = arg.get_long().filter(|_| !arg.is_hide_set()) else {
        return arg;
    };
    let variable = format!("{ENV_PREFIX}{}", name.replace('-', "_").to_uppercase());
    if crate::env::is_empty(&variable) {
        return arg;
    }
    let arg = arg.env(OsString::from(variable)).hide_env_values(true);
    match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
        _ => arg,
    }
}

/// Parses the command line. Prints the help, the version or a usage error and exits where clap does; a usage error has
/// the exit code 2.
pub fn parse(line: Vec<OsString>) -> Cli {
    let mut command = command().color(color_of(&line, crate::env::get));
    try_parse(&mut command, line).unwrap_or_else(|error| error.format(&mut command).exit())
}

fn try_parse(command: &mut clap::Command, line: Vec<OsString>) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(line)?;
    // clap's `conflicts_with` would also reject the variable `REMOTE_BUILDKIT_QUIET=false`, and accept one of the flags
    // before the command and the other after it.
    let is_typed = |flag: &str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    if is_typed("quiet") && is_typed("verbose") {
        let conflict = "the argument '--quiet' cannot be used with '--verbose'";
        return Err(command.error(ErrorKind::ArgumentConflict, conflict));
    }
    Cli::from_arg_matches(&matches)
}

/// Returns the value of `--color`, or else of its variable. It is read before the rest, because errors of the rest are
/// printed in color.
fn color_of(line: &[OsString], variable: impl Fn(&str) -> Option<String>) -> clap::ColorChoice {
    let mut words = line.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        if let Some(choice) = value.and_then(|value| value.parse().ok()) {
            return choice;
        }
    }
    let value = variable(&format!("{ENV_PREFIX}COLOR"));
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(clap::ColorChoice::Auto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_has_an_environment_variable() {
        let command = command();
        let connect = command.find_subcommand("connect").expect("connect");
        let variable = |name: &str| {
            let arg = connect.get_arguments().find(|arg| arg.get_long() == Some(name));
            arg.and_then(|arg| arg.get_env())
                .map(|env| env.to_string_lossy().into_owned())
        };
        assert_eq!(
            variable("storage-class").as_deref(),
            Some("REMOTE_BUILDKIT_STORAGE_CLASS")
        );
        for arg in connect.get_arguments() {
            assert!(arg.get_env().is_some(), "{:?}", arg.get_long());
        }
        let token = command.find_subcommand("token").expect("token");
        assert!(token.get_arguments().all(|arg| arg.get_env().is_none()));
        let runner = command.find_subcommand("runner").expect("runner");
        let role = runner
            .get_arguments()
            .find(|arg| arg.get_long() == Some("role-to-assume"));
        assert!(role.is_some_and(clap::Arg::is_hide_set));
    }

    #[test]
    fn color_is_read_before_the_rest() {
        let line_of = |line: &[&str]| line.iter().map(OsString::from).collect::<Vec<_>>();
        let color = |line: &[&str]| color_of(&line_of(line), |_| None);
        assert_eq!(
            color(&["x", "--color", "never", "oops"]),
            clap::ColorChoice::Never
        );
        assert_eq!(color(&["x", "oops", "--color=always"]), clap::ColorChoice::Always);
        assert_eq!(color(&["x", "--color=pink"]), clap::ColorChoice::Auto);
        let with_variable = |line: &[&str]| {
            color_of(&line_of(line), |name| {
                (name == "REMOTE_BUILDKIT_COLOR").then(|| "never".into())
            })
        };
        assert_eq!(with_variable(&["x", "oops"]), clap::ColorChoice::Never);
        assert_eq!(with_variable(&["x", "--color=always"]), clap::ColorChoice::Always);
    }

    #[test]
    fn quiet_and_verbose_exclude_each_other() {
        for line in [&["-q", "-v", "disconnect"][..], &["-v", "disconnect", "-q"]] {
            let line = ["remote-buildkit"].iter().chain(line).map(OsString::from);
            let error = try_parse(&mut command(), line.collect()).expect_err("a conflict");
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict);
            assert_eq!(error.exit_code(), 2);
        }
        let line = ["remote-buildkit", "disconnect", "-v"].map(OsString::from);
        assert!(try_parse(&mut command(), line.into()).is_ok_and(|cli| cli.verbose));
    }
}
