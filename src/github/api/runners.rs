//! Runners that are made for one job, just in time
//! (<https://docs.github.com/rest/actions/self-hosted-runners#create-configuration-for-a-just-in-time-runner-for-an-organization>).

use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::server::{Question, Server, is_limited};
use crate::error_code::ErrorCode;
use crate::github::{AppKey, Kind, Place, mask};
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::{AttemptError, FailureKind, Retrier};
use crate::secret::Secret;

/// Who asks for it.
#[derive(Debug)]
pub enum Credential {
    Token(Secret),
    App(Box<AppKey>),
}

/// What the runner is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub labels: Vec<String>,
    /// The name of its group; `None` for the one that every place has.
    pub group: Option<String>,
}

/// The number of the group that every place has.
const DEFAULT_GROUP: u64 = 1;

/// GitHub's longest page.
const PAGE: usize = 100;

/// Asks for the configuration of a runner: what `run.sh --jitconfig` takes. A runner of that name that is gone is
/// replaced, one that is there is not.
pub async fn just_in_time(
    place: &Place,
    credential: &Credential,
    wanted: &Wanted,
    deadline: Instant,
) -> anyhow::Result<Secret> {
    let retrier = Retrier::new(deadline, Report::detail);
    let github = GitHub {
        place,
        as_app: matches!(credential, Credential::App(_)),
        server: match credential {
            Credential::Token(token) => Server::new(place.api(), Some(token), deadline, retrier)?,
            Credential::App(key) => {
                let token = of_installation(place, key, deadline, &retrier).await?;
                Server::new(place.api(), Some(&token), deadline, retrier)?
            }
        },
    };
    let group = github.group(wanted.group.as_deref()).await?;
    match github.configuration(wanted, group).await {
        Err(error) if error.is::<Taken>() => {
            github.make_room(&wanted.name).await?;
            let again = github.configuration(wanted, group).await;
            again.map_err(|error| match error.downcast::<Taken>() {
                Ok(taken) => taken_again(place, &wanted.name, &taken).into(),
                Err(error) => error,
            })
        }
        done => done,
    }
}

fn taken_again(place: &Place, name: &str, taken: &Taken) -> Problem {
    Problem::new(
        ErrorCode::RunnerNameInUse,
        format!("Asked {place} for a runner named {name}, twice, and got: {taken}."),
        OWN_NAMES,
    )
}

/// A token of the App where it is installed, with the one permission that is needed.
async fn of_installation(
    place: &Place,
    key: &AppKey,
    deadline: Instant,
    retrier: &Retrier,
) -> anyhow::Result<Secret> {
    #[derive(Deserialize)]
    struct Installation {
        id: u64,
    }
    #[derive(Deserialize)]
    struct Token {
        token: Secret,
    }
    let jwt = key.jwt(Timestamp::now())?;
    mask(&jwt);
    let server = Server::new(place.api(), Some(&jwt), deadline, retrier.clone())?;
    let question = Question::get(format!("{}/installation", place.route()));
    let refused = |failed| refused_app(failed, place, key, &question.route);
    let installation: Installation = read(&server.ask(&question, refused).await?)?;

    let body = match &place.kind {
        Kind::Repository { name, .. } => {
            json!({"repositories": [name], "permissions": {"administration": "write"}})
        }
        Kind::Organization(_) | Kind::Enterprise(_) => {
            json!({"permissions": {"organization_self_hosted_runners": "write"}})
        }
    };
    let question = Question::post(
        format!("/app/installations/{}/access_tokens", installation.id),
        body,
    );
    let refused = |failed| refused_app(failed, place, key, &question.route);
    let token: Token = read(&server.ask(&question, refused).await?)?;
    mask(&token.token);
    Ok(token.token)
}

struct GitHub<'a> {
    place: &'a Place,
    as_app: bool,
    server: Server,
}

/// There is a runner of that name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Taken(String);

#[derive(Deserialize)]
struct Runners {
    runners: Vec<Runner>,
}

#[derive(Deserialize)]
struct Runner {
    id: u64,
    name: String,
    status: String,
    #[serde(default)]
    busy: bool,
}

impl GitHub<'_> {
    async fn configuration(&self, wanted: &Wanted, group: u64) -> anyhow::Result<Secret> {
        #[derive(Deserialize)]
        struct Configuration {
            encoded_jit_config: Secret,
        }
        let body = json!({
            "name": wanted.name,
            "runner_group_id": group,
            "labels": wanted.labels,
            "work_folder": "_work",
        });
        let question = Question::post(
            format!("{}/actions/runners/generate-jitconfig", self.place.route()),
            body,
        );
        let answer = self.server.ask(&question, |failed| {
            // Tried again it would be taken still.
            if failed.kind == FailureKind::Conflict {
                let taken = Taken(format!("{:#}", failed.error));
                return AttemptError::new(FailureKind::Permanent, taken);
            }
            self.refused(failed, "a just-in-time configuration", &question)
        });
        let configuration: Configuration = read(&answer.await?)?;
        mask(&configuration.encoded_jit_config);
        Ok(configuration.encoded_jit_config)
    }

    /// Removes a runner that is gone without having said so: a machine of that name was made anew.
    async fn make_room(&self, name: &str) -> anyhow::Result<()> {
        let route = format!("{}/actions/runners", self.place.route());
        let named = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let question = Question::get(format!("{route}?name={named}&per_page={PAGE}"));
        let explained = |failed| self.refused(failed, "the runner of that name", &question);
        let found: Runners = read(&self.server.ask(&question, explained).await?)?;
        let Some(runner) = found.runners.into_iter().find(|runner| runner.name == name) else {
            return Ok(());
        };
        if runner.status != "offline" || runner.busy {
            return Err(Problem::new(
                ErrorCode::RunnerNameInUse,
                format!(
                    "Asked {} for a runner named {name}, and there is one, which is {}.",
                    self.place, runner.status
                ),
                OWN_NAMES,
            )
            .into());
        }
        let question = Question::delete(format!("{route}/{}", runner.id));
        let explained = |failed| self.refused(failed, "the removal of the runner of that name", &question);
        self.server.ask(&question, explained).await?;
        Report::detail(&format!("a runner named {name} was offline and is replaced"));
        Ok(())
    }

    /// The number of a group.
    async fn group(&self, name: Option<&str>) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct Groups {
            runner_groups: Vec<Group>,
        }
        #[derive(Deserialize)]
        struct Group {
            id: u64,
            name: String,
        }
        let Some(name) = name.filter(|name| *name != "Default") else {
            return Ok(DEFAULT_GROUP);
        };
        let mut known = Vec::new();
        for page in 1.. {
            let route = format!("{}/actions/runner-groups", self.place.route());
            let question = Question::get(format!("{route}?per_page={PAGE}&page={page}"));
            let explained = |failed| self.refused(failed, "the runner groups", &question);
            let groups: Groups = read(&self.server.ask(&question, explained).await?)?;
            if let Some(found) = groups.runner_groups.iter().find(|group| group.name == name) {
                return Ok(found.id);
            }
            let last = groups.runner_groups.len() < PAGE;
            known.extend(groups.runner_groups.into_iter().map(|group| group.name));
            if last {
                break;
            }
        }
        Err(Problem::new(
            ErrorCode::RegistrationFailed,
            format!(
                "Looked for the runner group {name} of {}; there are: {}.",
                self.place,
                known.join(", ")
            ),
            "Correct --runner-group, or make the group under Settings, Actions, Runner groups.",
        )
        .into())
    }

    fn refused(&self, failed: AttemptError, what: &str, question: &Question) -> AttemptError {
        explained(failed, |text, limited| {
            let remedy = match text.get(..3) {
                _ if limited => "Try again later; GitHub answers 5,000 times an hour for a token.".to_owned(),
                Some("401") => "The token is not valid, or has expired: make a new one.".to_owned(),
                Some("403" | "404") => self.permission(),
                Some("422") => {
                    "GitHub's own words say what it did not take: check --runner-name, --runner-labels and \
                     --runner-group."
                        .to_owned()
                }
                _ => NO_ANSWER.to_owned(),
            };
            Problem::new(
                ErrorCode::RegistrationFailed,
                format!(
                    "Asked GitHub for {what} of {} ({} {}) and got: {text}.",
                    self.place, question.method, question.route
                ),
                remedy,
            )
        })
    }

    /// GitHub answers 404 for what a token may not see.
    fn permission(&self) -> String {
        let wanted = match (&self.place.kind, self.as_app) {
            (Kind::Repository { .. }, true) => {
                "The App wants the repository permission Administration: write"
            }
            (Kind::Repository { .. }, false) => {
                "The token wants the repository permission Administration: write, a classic one the scope repo, of an \
                 admin of the repository"
            }
            (Kind::Organization(_), true) => {
                "The App wants the organization permission Self-hosted runners: write"
            }
            (Kind::Organization(_), false) => {
                "The token wants the organization permission Self-hosted runners: write, a classic one the scope \
                 admin:org, of an owner"
            }
            (Kind::Enterprise(_), _) => {
                "The token is to be a classic one with the scope manage_runners:enterprise, of an owner"
            }
        };
        format!("{wanted}. And check the spelling in --github-url.")
    }
}

const OWN_NAMES: &str = "Give each machine a name of its own with --runner-name, such as its instance id.";
const NO_ANSWER: &str = "Try again; if it stays, see githubstatus.com and what this machine may reach.";

fn refused_app(failed: AttemptError, place: &Place, key: &AppKey, route: &str) -> AttemptError {
    explained(failed, |text, limited| {
        let remedy = match text.get(..3) {
            _ if limited => "Try again later.".to_owned(),
            Some("401") => format!(
                "Either {} is not the id of the App that the key is of, or the key was revoked, or the clock of this \
                 machine is wrong.",
                key.id()
            ),
            Some("404") => format!("Install the App {} in {place}, or correct --github-url.", key.id()),
            Some("403" | "422") => match &place.kind {
                Kind::Repository { .. } => {
                    "Give the App the repository permission Administration: write, and accept it where the App is \
                     installed."
                        .to_owned()
                }
                Kind::Organization(_) | Kind::Enterprise(_) => {
                    "Give the App the organization permission Self-hosted runners: write, and accept it where the App \
                     is installed."
                        .to_owned()
                }
            },
            _ => NO_ANSWER.to_owned(),
        };
        Problem::new(
            ErrorCode::RegistrationFailed,
            format!(
                "Asked GitHub, as the App {}, for {route} and got: {text}.",
                key.id()
            ),
            remedy,
        )
    })
}

fn explained(failed: AttemptError, problem: impl FnOnce(&str, bool) -> Problem) -> AttemptError {
    let limited = is_limited(&failed);
    let problem = problem(&format!("{:#}", failed.error), limited);
    AttemptError {
        error: problem.into(),
        ..failed
    }
}

fn read<T: DeserializeOwned>(answer: &Bytes) -> anyhow::Result<T> {
    serde_json::from_slice(answer).context("reading GitHub's answer")
}
