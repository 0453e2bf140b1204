//! Validates the flags of `runner` that register the machine as a GitHub runner.

use std::path::PathBuf;

use super::lists::entries;
use super::validation::ValidationErrors;
use crate::cli::RegistrationArgs;
use crate::github::{RunnerScope, ScopeKind};

/// The runner to register, and the directory of its program.
#[derive(Debug)]
pub struct Registration {
    pub scope: RunnerScope,
    pub credential: RegistrationCredential,
    pub name: Option<String>,
    /// The labels of the runner; empty for the default labels.
    pub labels: Vec<String>,
    pub group: Option<String>,
    /// The directory of the runner's program.
    pub dir: PathBuf,
}

/// The credential that registers the runner, and the source to read it from.
#[derive(Debug, PartialEq, Eq)]
pub enum RegistrationCredential {
    Token(SecretSource),
    App { id: String, key: SecretSource },
}

/// The source of a secret. A flag never contains the secret itself, because every user of the machine can read a
/// process's arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum SecretSource {
    File(PathBuf),
    StandardInput,
    Environment,
}

impl SecretSource {
    /// Parses the value of a flag: a path, or `-` for standard input.
    fn parse(file: &str) -> Self {
        match file {
            "-" => Self::StandardInput,
            file => Self::File(file.into()),
        }
    }
}

/// GitHub's limits for a runner (<https://docs.github.com/rest/actions/self-hosted-runners>).
const MAX_NAME_LENGTH: usize = 64;
const MAX_LABELS: usize = 100;

/// Validates the flags. Returns `None` without `github-url`, or if a flag is invalid.
pub(super) fn check(args: &RegistrationArgs, errors: &mut ValidationErrors) -> Option<Registration> {
    let RegistrationArgs {
        github_url,
        github_token_file,
        github_app_id,
        github_app_key_file,
        runner_name,
        runner_labels,
        runner_group,
        runner_dir,
    } = args;
    let Some(url) = github_url else {
        for (name, value) in [
            ("github-token-file", github_token_file),
            ("github-app-id", github_app_id),
            ("github-app-key-file", github_app_key_file),
            ("runner-name", runner_name),
            ("runner-labels", runner_labels),
            ("runner-group", runner_group),
        ] {
            if let Some(value) = value {
                errors.add(name, value, "requires `github-url`");
            }
        }
        return None;
    };
    let scope = RunnerScope::parse(url);
    if let Err(allowed) = scope {
        errors.add("github-url", url, &format!("must be {allowed}"));
    }
    if let Some(name) = runner_name {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        let is_valid = !name.is_empty() && name.len() <= MAX_NAME_LENGTH && name.chars().all(is_allowed);
        errors.check(
            is_valid,
            "runner-name",
            name,
            "must be up to 64 letters, digits, -, _ and .",
        );
    }
    let labels: Vec<String> = runner_labels
        .iter()
        .flat_map(|labels| entries(labels))
        .map(str::to_owned)
        .collect();
    if let Some(text) = runner_labels {
        let is_valid = !labels.is_empty()
            && labels.len() <= MAX_LABELS
            && labels.iter().all(|label| !label.contains(char::is_whitespace));
        errors.check(
            is_valid,
            "runner-labels",
            text,
            "must be 1 to 100 labels without spaces, separated by commas",
        );
    }
    let credential = credential(args, errors);
    let scope = scope.ok()?;
    match (&scope.kind, &credential) {
        (ScopeKind::Enterprise(_), Some(RegistrationCredential::App { id, .. })) => errors.add(
            "github-app-id",
            id,
            "GitHub does not accept an App for an enterprise: use a classic token with the scope manage_runners:enterprise",
        ),
        (ScopeKind::Repository { .. }, _) => {
            if let Some(group) = runner_group.as_deref().filter(|group| *group != "Default") {
                errors.add("runner-group", group, "a repository has only the group Default");
            }
        }
        _ => {}
    }
    Some(Registration {
        scope,
        credential: credential?,
        name: runner_name.clone(),
        labels,
        group: runner_group.clone(),
        dir: runner_dir.into(),
    })
}

/// Returns the credential that the flags select.
fn credential(args: &RegistrationArgs, errors: &mut ValidationErrors) -> Option<RegistrationCredential> {
    match (
        &args.github_app_id,
        &args.github_app_key_file,
        &args.github_token_file,
    ) {
        (None, None, None) => Some(RegistrationCredential::Token(SecretSource::Environment)),
        (None, None, Some(file)) => Some(RegistrationCredential::Token(SecretSource::parse(file))),
        (Some(id), Some(file), None) => {
            let is_valid = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
            errors.check(
                is_valid,
                "github-app-id",
                id,
                "must be the client ID of an App, such as Iv23liabcdef, or its numeric ID",
            );
            Some(RegistrationCredential::App {
                id: id.clone(),
                key: SecretSource::parse(file),
            })
        }
        (Some(id), None, _) => {
            errors.add("github-app-id", id, "requires `github-app-key-file`");
            None
        }
        (None, Some(file), _) => {
            errors.add("github-app-key-file", file, "requires `github-app-id`");
            None
        }
        (Some(_), Some(_), Some(file)) => {
            errors.add(
                "github-token-file",
                file,
                "set either a token or an App, not both",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn read(flags: &[&str]) -> Result<Option<Registration>, String> {
        let line = ["remote-buildkit", "runner"].iter().chain(flags);
        let Command::Runner(args) = Cli::parse_from(line).command else {
            panic!("not runner");
        };
        let mut errors = ValidationErrors::default();
        let registration = check(&args.registration, &mut errors);
        if errors.0.is_empty() {
            Ok(registration)
        } else {
            Err(errors.0.join("\n"))
        }
    }

    #[test]
    fn every_invalid_value_is_reported() {
        let org = "--github-url=https://github.com/acme";
        let long = format!("--runner-name={}", "a".repeat(65));
        let many = format!("--runner-labels={}", vec!["a"; 101].join(","));
        for (flags, expected) in [
            (
                &["--github-url=acme"][..],
                "`github-url: acme`: must be the URL of a repository",
            ),
            (&["--runner-name=a"], "requires `github-url`"),
            (
                &["--github-app-id=1", "--github-token-file=-"],
                "requires `github-url`",
            ),
            (&[org, "--github-app-id=1"], "requires `github-app-key-file`"),
            (&[org, "--github-app-key-file=-"], "requires `github-app-id`"),
            (
                &[org, "--github-app-id=a b", "--github-app-key-file=-"],
                "must be the client ID",
            ),
            (
                &[
                    org,
                    "--github-app-id=1",
                    "--github-app-key-file=-",
                    "--github-token-file=t",
                ],
                "either a token or an App",
            ),
            (&[org, "--runner-name=a b"], "must be up to 64"),
            (&[org, &long], "must be up to 64"),
            (&[org, "--runner-labels=a b,c"], "without spaces"),
            (&[org, "--runner-labels=,"], "must be 1 to 100"),
            (&[org, &many], "must be 1 to 100"),
            (
                &["--github-url=https://github.com/acme/shop", "--runner-group=gpu"],
                "only the group Default",
            ),
            (
                &[
                    "--github-url=https://github.com/enterprises/acme",
                    "--github-app-id=1",
                    "--github-app-key-file=-",
                ],
                "classic token",
            ),
        ] {
            let errors = read(flags).expect_err(expected);
            assert!(errors.contains(expected), "{flags:?}: {errors}");
        }
    }

    #[test]
    fn credentials_have_the_source_that_the_flags_name() {
        assert!(read(&[]).expect("good").is_none());
        let org = "--github-url=https://github.com/acme";
        let credential = |flags: &[&str]| {
            let registration = read(&[&[org], flags].concat()).expect("good");
            registration.expect("to register").credential
        };
        assert_eq!(
            credential(&[]),
            RegistrationCredential::Token(SecretSource::Environment)
        );
        assert_eq!(
            credential(&["--github-token-file=-"]),
            RegistrationCredential::Token(SecretSource::StandardInput)
        );
        assert_eq!(
            credential(&["--github-app-id=Iv23liabc", "--github-app-key-file=/k"]),
            RegistrationCredential::App {
                id: "Iv23liabc".into(),
                key: SecretSource::File("/k".into())
            }
        );
        let all = read(&[
            org,
            "--runner-labels=gpu, big",
            "--runner-group=ml",
            "--runner-name=i-0",
        ]);
        let all = all.expect("good").expect("to register");
        assert_eq!(all.labels, ["gpu", "big"]);
        assert_eq!(
            (all.group.as_deref(), all.name.as_deref()),
            (Some("ml"), Some("i-0"))
        );
        assert_eq!(all.dir, PathBuf::from("/opt/actions-runner"));
    }
}
