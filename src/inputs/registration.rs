//! As which runner of GitHub a machine is to be started.

use std::path::PathBuf;

use super::Faults;
use super::lists::entries;
use crate::cli::RegistrationArgs;
use crate::github::{Kind, Place};

/// What is asked of GitHub, and where the runner is.
#[derive(Debug)]
pub struct Registration {
    pub place: Place,
    pub credential: Credential,
    pub name: Option<String>,
    /// Empty for those of every runner.
    pub labels: Vec<String>,
    pub group: Option<String>,
    pub folder: PathBuf,
}

/// Who asks GitHub.
#[derive(Debug, PartialEq, Eq)]
pub enum Credential {
    Token(Source),
    App { id: String, key: Source },
}

/// Where a secret is read from: never from a flag, which all users of a machine see.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    StandardInput,
    Environment,
}

impl Source {
    fn of(file: &str) -> Self {
        match file {
            "-" => Self::StandardInput,
            file => Self::File(file.into()),
        }
    }
}

/// GitHub's limits (<https://docs.github.com/rest/actions/self-hosted-runners>).
const LONGEST_NAME: usize = 64;
const MOST_LABELS: usize = 100;

pub(super) fn check(args: &RegistrationArgs, faults: &mut Faults) -> Option<Registration> {
    let RegistrationArgs {
        github_url,
        github_token_file,
        github_app_id,
        github_app_key_file,
        runner_name,
        runner_labels,
        runner_group,
        runner_folder,
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
                faults.add(name, value, "goes with `github-url`");
            }
        }
        return None;
    };
    let place = Place::parse(url);
    if let Err(allowed) = place {
        faults.add("github-url", url, allowed);
    }
    if let Some(name) = runner_name {
        let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
        let good = !name.is_empty() && name.len() <= LONGEST_NAME && name.chars().all(plain);
        faults.check(good, "runner-name", name, "up to 64 letters, digits, -, _ and .");
    }
    let labels: Vec<String> = runner_labels
        .iter()
        .flat_map(|labels| entries(labels))
        .map(str::to_owned)
        .collect();
    if let Some(text) = runner_labels {
        let good = !labels.is_empty()
            && labels.len() <= MOST_LABELS
            && labels.iter().all(|label| !label.contains(char::is_whitespace));
        faults.check(
            good,
            "runner-labels",
            text,
            "1 to 100 labels without spaces, with commas between them",
        );
    }
    let credential = credential(args, faults);
    let place = place.ok()?;
    match (&place.kind, &credential) {
        (Kind::Enterprise(_), Some(Credential::App { id, .. })) => faults.add(
            "github-app-id",
            id,
            "for an enterprise GitHub takes a classic token with the scope manage_runners:enterprise, no App",
        ),
        (Kind::Repository { .. }, _) => {
            if let Some(group) = runner_group.as_deref().filter(|group| *group != "Default") {
                faults.add("runner-group", group, "a repository has no groups but Default");
            }
        }
        _ => {}
    }
    Some(Registration {
        place,
        credential: credential?,
        name: runner_name.clone(),
        labels,
        group: runner_group.clone(),
        folder: runner_folder.into(),
    })
}

fn credential(args: &RegistrationArgs, faults: &mut Faults) -> Option<Credential> {
    match (
        &args.github_app_id,
        &args.github_app_key_file,
        &args.github_token_file,
    ) {
        (None, None, None) => Some(Credential::Token(Source::Environment)),
        (None, None, Some(file)) => Some(Credential::Token(Source::of(file))),
        (Some(id), Some(file), None) => {
            let good = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
            faults.check(
                good,
                "github-app-id",
                id,
                "the client id of an App, such as Iv23liabcdef, or its number",
            );
            Some(Credential::App {
                id: id.clone(),
                key: Source::of(file),
            })
        }
        (Some(id), None, _) => {
            faults.add("github-app-id", id, "wants `github-app-key-file` as well");
            None
        }
        (None, Some(file), _) => {
            faults.add("github-app-key-file", file, "wants `github-app-id` as well");
            None
        }
        (Some(_), Some(_), Some(file)) => {
            faults.add("github-token-file", file, "give either a token or an App");
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
        let mut faults = Faults::default();
        let registration = check(&args.registration, &mut faults);
        if faults.0.is_empty() {
            Ok(registration)
        } else {
            Err(faults.0.join("\n"))
        }
    }

    #[test]
    fn every_wrong_value_is_named() {
        let org = "--github-url=https://github.com/acme";
        let long = format!("--runner-name={}", "a".repeat(65));
        let many = format!("--runner-labels={}", vec!["a"; 101].join(","));
        for (flags, says) in [
            (&["--github-url=acme"][..], "`github-url: acme`"),
            (&["--runner-name=a"], "goes with `github-url`"),
            (
                &["--github-app-id=1", "--github-token-file=-"],
                "goes with `github-url`",
            ),
            (&[org, "--github-app-id=1"], "wants `github-app-key-file`"),
            (&[org, "--github-app-key-file=-"], "wants `github-app-id`"),
            (
                &[org, "--github-app-id=a b", "--github-app-key-file=-"],
                "client id",
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
            (&[org, "--runner-name=a b"], "up to 64"),
            (&[org, &long], "up to 64"),
            (&[org, "--runner-labels=a b,c"], "without spaces"),
            (&[org, "--runner-labels=,"], "1 to 100"),
            (&[org, &many], "1 to 100"),
            (
                &["--github-url=https://github.com/acme/shop", "--runner-group=gpu"],
                "no groups but Default",
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
            let faults = read(flags).expect_err(says);
            assert!(faults.contains(says), "{flags:?}: {faults}");
        }
    }

    #[test]
    fn secrets_are_read_from_where_they_are_said_to_be() {
        assert!(read(&[]).expect("good").is_none());
        let org = "--github-url=https://github.com/acme";
        let credential = |flags: &[&str]| {
            let registration = read(&[&[org], flags].concat()).expect("good");
            registration.expect("to register").credential
        };
        assert_eq!(credential(&[]), Credential::Token(Source::Environment));
        assert_eq!(
            credential(&["--github-token-file=-"]),
            Credential::Token(Source::StandardInput)
        );
        assert_eq!(
            credential(&["--github-app-id=Iv23liabc", "--github-app-key-file=/k"]),
            Credential::App {
                id: "Iv23liabc".into(),
                key: Source::File("/k".into())
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
        assert_eq!(all.folder, PathBuf::from("/opt/actions-runner"));
    }
}
