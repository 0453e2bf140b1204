//! The inputs of an action, which become flags.

use std::ffi::OsString;

use clap::CommandFactory as _;

use super::Cli;

/// Returns the command line with the inputs of the action inserted as flags.
///
/// The runner sets an input as `INPUT_STORAGE-CLASS`, and an absent one as an empty string. A YAML block (`|`) ends with
/// a line break, which is removed. A typed flag comes later on the line and therefore overrides the input.
///
/// Fails with the names of the inputs that are not valid UTF-8.
pub fn arguments(
    typed: impl IntoIterator<Item = OsString>,
    input: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>, Vec<String>> {
    let mut line: Vec<OsString> = typed.into_iter().collect();
    let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    // The one flag before the command that may have its value in the next word.
    let is_value = |before: &OsString| before == "--color";
    let command = line
        .windows(2)
        .position(|words| !is_flag(&words[1]) && !is_value(&words[0]));
    let at = command.map_or(0, |at| at + 1);
    let command = line.get(at).and_then(|command| command.to_str());
    let Some(command) = command.filter(|command| ACTIONS.contains(command)) else {
        return Ok(line);
    };
    let (mut flags, mut unreadable) = (Vec::new(), Vec::new());
    for name in inputs(command) {
        match input(&input_variable(&name)).map(OsString::into_string) {
            Some(Ok(value)) if trimmed(&value).is_empty() => {}
            Some(Ok(value)) => flags.push(OsString::from(format!("--{name}={}", trimmed(&value)))),
            Some(Err(_)) => unreadable.push(name),
            None => {}
        }
    }
    if !unreadable.is_empty() {
        return Err(unreadable);
    }
    line.splice(at + 1..at + 1, flags);
    Ok(line)
}

/// Returns the value of an input without surrounding whitespace. The first line of several keeps its indentation, which
/// is significant in YAML, and its line number.
fn trimmed(value: &str) -> &str {
    let value = value.trim_end();
    if value.contains('\n') {
        value
    } else {
        value.trim_start()
    }
}

/// The commands that an action runs as its main step.
pub(super) const ACTIONS: [&str; 3] = ["connect", "matrix", "runner"];

/// Flags of `connect` that only a job can use: those of its OIDC token and of its own buildx. `runner` does not accept
/// them.
pub(super) const JOB_ONLY: [&str; 4] = ["audience", "role-to-assume", "buildx-version", "unavailable"];

/// Returns whether a flag of a command is an input of its action.
fn is_input(command: &str, flag: &str) -> bool {
    let needs_job = command == "runner" && JOB_ONLY.contains(&flag);
    !needs_job && !NO_INPUTS.contains(&flag)
}

/// Returns the names of a command's inputs, in the order of their declaration.
pub(super) fn inputs(command: &str) -> Vec<String> {
    let cli = Cli::command();
    cli.find_subcommand(command)
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|arg| arg.get_long())
        .filter(|name| is_input(command, name))
        .map(str::to_owned)
        .collect()
}

fn input_variable(name: &str) -> String {
    format!("INPUT_{}", name.replace(' ', "_").to_uppercase())
}

/// Flags that are not inputs, in the commands that have inputs: they are for people or for the boot of a machine.
const NO_INPUTS: [&str; 15] = [
    "help",
    "explain",
    "github-app-id",
    "github-app-key-file",
    "github-token-file",
    "github-url",
    "install-only",
    "as-user",
    "json",
    "output",
    "remove",
    "runner-dir",
    "runner-group",
    "runner-labels",
    "runner-name",
];

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Command, ConnectArgs, OutputFormat};
    use super::*;
    use crate::secret::Secret;

    fn parse(typed: &[&str], inputs: &[(&str, &str)]) -> ConnectArgs {
        let line = arguments(typed.iter().map(Into::into), |name| {
            let value = inputs.iter().find(|(n, _)| *n == name)?.1;
            Some(value.into()).filter(|v: &OsString| !v.is_empty())
        });
        match Cli::parse_from(line.expect("valid UTF-8")).command {
            Command::Connect(args) => *args,
            other => panic!("not connect: {other:?}"),
        }
    }

    #[test]
    fn action_inputs_become_flags() {
        let args = parse(
            &["remote-buildkit", "connect"],
            &[
                ("INPUT_STORAGE-CLASS", "gp3"),
                ("INPUT_CLUSTER", "shop"),
                ("INPUT_STORAGE", ""),
            ],
        );
        assert_eq!(args.agent.storage_class.as_deref(), Some("gp3"));
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("shop"));
        assert_eq!(args.agent.storage, "50Gi");
    }

    #[test]
    fn inputs_that_are_not_utf8_are_named() {
        use std::os::unix::ffi::OsStringExt;
        let typed = || ["remote-buildkit", "connect"].map(OsString::from);
        let latin1 = |name: &str| {
            let broken = ["INPUT_CLUSTER", "INPUT_LABELS"].contains(&name);
            broken.then(|| OsString::from_vec(b"sh\xf6p".to_vec()))
        };
        assert_eq!(
            arguments(typed(), latin1),
            Err(vec!["cluster".into(), "labels".into()])
        );
        let other = [OsString::from("remote-buildkit"), "token".into()];
        assert_eq!(arguments(other.clone(), latin1), Ok(other.to_vec()));
    }

    #[test]
    fn whitespace_around_an_input_is_removed() {
        let patch = "  spec: a\n\n  metadata: b";
        let args = parse(
            &["remote-buildkit", "connect"],
            &[
                ("INPUT_CLUSTER", " shop\n"),
                ("INPUT_STORAGE", "\r\n"),
                ("INPUT_PATCH", &format!("{patch}\n\n")),
            ],
        );
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("shop"));
        assert_eq!(args.agent.storage, "50Gi");
        assert_eq!(args.agent.patch.as_deref(), Some(patch));
    }

    #[test]
    fn typed_flag_overrides_input() {
        let args = parse(
            &["remote-buildkit", "connect", "--cluster", "typed"],
            &[("INPUT_CLUSTER", "input")],
        );
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("typed"));
    }

    #[test]
    fn flag_before_the_command_is_accepted() {
        let args = parse(
            &["remote-buildkit", "--verbose", "connect"],
            &[("INPUT_CLUSTER", "input")],
        );
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("input"));
    }

    #[test]
    fn value_that_looks_like_a_flag_stays_a_value() {
        let args = parse(
            &["remote-buildkit", "connect"],
            &[("INPUT_CONTEXT", "--deploy=never")],
        );
        assert_eq!(args.cluster_access.context.as_deref(), Some("--deploy=never"));
        assert_eq!(args.deploy, "if-absent");
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        description: String,
        default: Option<String>,
    }

    #[derive(serde::Deserialize)]
    struct Action {
        inputs: std::collections::BTreeMap<String, Input>,
    }

    #[test]
    fn actions_declare_the_same_inputs() {
        for (command, action) in [
            ("connect", include_str!("../../action.yml")),
            ("matrix", include_str!("../../matrix/action.yml")),
            ("runner", include_str!("../../runner/action.yml")),
        ] {
            let action: Action = serde_saphyr::from_str(action).expect("YAML");
            let cli = Cli::command();
            let known = cli.find_subcommand(command).expect("a command").get_arguments();
            let flags = known.filter_map(|arg| {
                let name = arg.get_long().filter(|name| is_input(command, name))?;
                let default = arg.get_default_values().first();
                let default = default.map(|default| default.to_string_lossy().into_owned());
                let input = Input {
                    description: arg.get_help()?.to_string(),
                    // Only a job has a token by default.
                    default: default
                        .or_else(|| (name == "github-token").then(|| "${{ github.token }}".into())),
                };
                Some((name.to_owned(), input))
            });
            assert_eq!(action.inputs, flags.collect(), "{command}");
        }
    }

    #[test]
    fn matrix_inputs_become_flags_and_the_token_is_not_printed() {
        let line = |typed: &[&str]| {
            arguments(typed.iter().map(Into::into), |name| match name {
                "INPUT_GITHUB-TOKEN" => Some("hush".into()),
                "INPUT_TARGETS" => Some("api\nweb\n".into()),
                "INPUT_PER-PLATFORM" => Some("true".into()),
                // Flags that are not inputs.
                "INPUT_EXPLAIN" | "INPUT_JSON" => Some("true".into()),
                "INPUT_OUTPUT" => Some("json".into()),
                _ => None,
            })
            .expect("valid UTF-8")
        };
        let Command::Matrix(args) = Cli::parse_from(line(&["remote-buildkit", "matrix"])).command else {
            panic!("not matrix");
        };
        assert_eq!(args.targets.as_deref(), Some("api\nweb"));
        assert_eq!(
            (args.per_platform.as_str(), args.output.format()),
            ("true", OutputFormat::Table)
        );
        assert_eq!(args.explain, None);
        assert_eq!(args.github_token.as_ref().map(Secret::expose), Some("hush"));
        assert!(!format!("{args:?}").contains("hush"));
        let typed = ["remote-buildkit", "matrix", "--per-platform", "--targets=x"];
        let Command::Matrix(args) = Cli::parse_from(typed).command else {
            panic!("not matrix");
        };
        assert_eq!(
            (args.per_platform.as_str(), args.targets.as_deref()),
            ("true", Some("x"))
        );
    }
}
