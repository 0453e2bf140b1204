//! Just-in-time runners, which run one job
//! (<https://docs.github.com/rest/actions/self-hosted-runners#create-configuration-for-a-just-in-time-runner-for-an-organization>).

use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::server::{ApiRequest, FailedAttempt, GitHubApi, GitHubError, StatusError, is_rate_limited};
use crate::error_code::ErrorCode;
use crate::github::app::AppKey;
use crate::github::job::mask;
use crate::github::scope::{RunnerScope, ScopeKind};
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;

/// The credential that registers a runner.
#[derive(Debug)]
pub enum GitHubCredential {
    Token(Secret),
    App(Box<AppKey>),
}

/// Name, labels and group of a runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerSpec {
    pub name: String,
    pub labels: Vec<String>,
    /// The name of the runner group; `None` for the default group.
    pub group: Option<String>,
}

/// The id of the default group, which every scope has.
const DEFAULT_GROUP: u64 = 1;

/// The largest page that GitHub returns.
const PAGE_SIZE: usize = 100;

/// Registers a runner and returns its configuration, for `run.sh --jitconfig`. An offline runner of the same name is replaced;
/// an online one is an error.
pub async fn just_in_time(
    scope: &RunnerScope,
    credential: &GitHubCredential,
    spec: &RunnerSpec,
    deadline: Instant,
) -> anyhow::Result<Secret> {
    let retrier = Retrier::new(deadline, Report::retry);
    let registrar = Registrar {
        scope,
        as_app: matches!(credential, GitHubCredential::App(_)),
        api: match credential {
            GitHubCredential::Token(token) => GitHubApi::new(scope.api(), Some(token), deadline, retrier)?,
            GitHubCredential::App(key) => {
                let token = installation_token(scope, key, deadline, &retrier).await?;
                GitHubApi::new(scope.api(), Some(&token), deadline, retrier)?
            }
        },
    };
    let group = registrar.group_id(spec.group.as_deref()).await?;
    if let RegistrationResult::Registered(configuration) = registrar.register(spec, group).await? {
        return Ok(configuration);
    }
    registrar.remove_offline(&spec.name).await?;
    match registrar.register(spec, group).await? {
        RegistrationResult::Registered(configuration) => Ok(configuration),
        RegistrationResult::NameTaken(response) => Err(still_taken(scope, &spec.name, &response).into()),
    }
}

fn still_taken(scope: &RunnerScope, name: &str, response: &StatusError) -> Problem {
    Problem::new(
        ErrorCode::RunnerNameInUse,
        format!("Tried twice to register a runner named {name} in {scope} and got: {response}."),
        UNIQUE_NAME,
    )
}

/// Returns a token of the App's installation in the scope, with only the permission that registration needs.
async fn installation_token(
    scope: &RunnerScope,
    key: &AppKey,
    deadline: Instant,
    retrier: &Retrier,
) -> anyhow::Result<Secret> {
    #[derive(Deserialize)]
    struct InstallationResponse {
        id: u64,
    }
    #[derive(Deserialize)]
    struct InstallationToken {
        token: Secret,
    }
    let jwt = key.jwt(Timestamp::now())?;
    mask(&jwt);
    let api = GitHubApi::new(scope.api(), Some(&jwt), deadline, retrier.clone())?;
    let request = ApiRequest::get(format!("{}/installation", scope.route()));
    let explain = |failed| explain_app(failed, scope, key, &request.route);
    let installation: InstallationResponse = read(&api.send(&request, explain).await?)?;

    let body = match &scope.kind {
        ScopeKind::Repository { name, .. } => {
            json!({"repositories": [name], "permissions": {"administration": "write"}})
        }
        ScopeKind::Organization(_) | ScopeKind::Enterprise(_) => {
            json!({"permissions": {"organization_self_hosted_runners": "write"}})
        }
    };
    let request = ApiRequest::post(
        format!("/app/installations/{}/access_tokens", installation.id),
        body,
    );
    let explain = |failed| explain_app(failed, scope, key, &request.route);
    let token: InstallationToken = read(&api.send(&request, explain).await?)?;
    mask(&token.token);
    Ok(token.token)
}

struct Registrar<'a> {
    scope: &'a RunnerScope,
    as_app: bool,
    api: GitHubApi,
}

/// The result of a registration.
enum RegistrationResult {
    /// Contains the configuration of the new runner.
    Registered(Secret),
    /// A runner of this name exists.
    NameTaken(StatusError),
}

#[derive(Deserialize)]
struct RunnersResponse {
    runners: Vec<RunnerResponse>,
}

#[derive(Deserialize)]
struct RunnerResponse {
    id: u64,
    name: String,
    status: String,
    #[serde(default)]
    busy: bool,
}

impl Registrar<'_> {
    /// Registers the runner.
    async fn register(&self, spec: &RunnerSpec, group: u64) -> anyhow::Result<RegistrationResult> {
        #[derive(Deserialize)]
        struct ConfigurationResponse {
            encoded_jit_config: Secret,
        }
        let body = json!({
            "name": spec.name,
            "runner_group_id": group,
            "labels": spec.labels,
            "work_folder": "_work",
        });
        let request = ApiRequest::post(
            format!("{}/actions/runners/generate-jitconfig", self.scope.route()),
            body,
        );
        let explain = |failed| self.explain(failed, "a just-in-time configuration", &request);
        let response = self
            .api
            .send_expecting(&request, StatusCode::CONFLICT, explain)
            .await?;
        match response {
            Ok(response) => {
                let configuration: ConfigurationResponse = read(&response)?;
                mask(&configuration.encoded_jit_config);
                Ok(RegistrationResult::Registered(configuration.encoded_jit_config))
            }
            Err(response) => Ok(RegistrationResult::NameTaken(response)),
        }
    }

    /// Removes an offline runner of the same name, which is left if a machine is replaced.
    async fn remove_offline(&self, name: &str) -> anyhow::Result<()> {
        let route = format!("{}/actions/runners", self.scope.route());
        let named = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let request = ApiRequest::get(format!("{route}?name={named}&per_page={PAGE_SIZE}"));
        let explain = |failed| self.explain(failed, "the runners of this name", &request);
        let found: RunnersResponse = read(&self.api.send(&request, explain).await?)?;
        let Some(runner) = found.runners.into_iter().find(|runner| runner.name == name) else {
            return Ok(());
        };
        if runner.status != "offline" || runner.busy {
            return Err(Problem::new(
                ErrorCode::RunnerNameInUse,
                format!(
                    "Tried to register a runner named {name} in {}, but a runner of this name exists and is {}.",
                    self.scope, runner.status
                ),
                UNIQUE_NAME,
            )
            .into());
        }
        let request = ApiRequest::delete(format!("{route}/{}", runner.id));
        let explain = |failed| self.explain(failed, "the removal of the offline runner", &request);
        self.api.send(&request, explain).await?;
        Report::detail(&format!("replaced the offline runner {name}"));
        Ok(())
    }

    /// Returns the id of a group.
    async fn group_id(&self, name: Option<&str>) -> anyhow::Result<u64> {
        #[derive(Deserialize)]
        struct GroupsResponse {
            runner_groups: Vec<GroupResponse>,
        }
        #[derive(Deserialize)]
        struct GroupResponse {
            id: u64,
            name: String,
        }
        let Some(name) = name.filter(|name| *name != "Default") else {
            return Ok(DEFAULT_GROUP);
        };
        let mut known = Vec::new();
        for page in 1.. {
            let route = format!("{}/actions/runner-groups", self.scope.route());
            let request = ApiRequest::get(format!("{route}?per_page={PAGE_SIZE}&page={page}"));
            let explain = |failed| self.explain(failed, "the runner groups", &request);
            let groups: GroupsResponse = read(&self.api.send(&request, explain).await?)?;
            if let Some(found) = groups.runner_groups.iter().find(|group| group.name == name) {
                return Ok(found.id);
            }
            let last = groups.runner_groups.len() < PAGE_SIZE;
            known.extend(groups.runner_groups.into_iter().map(|group| group.name));
            if last {
                break;
            }
        }
        Err(Problem::new(
            ErrorCode::RegistrationFailed,
            format!(
                "Looked for the runner group {name} in {}. The existing groups are: {}.",
                self.scope,
                known.join(", ")
            ),
            "Correct `--runner-group`, or create the group under Settings, Actions, Runner groups.",
        )
        .into())
    }

    /// Adds to a failure what was requested, and the remedy.
    fn explain(&self, failed: FailedAttempt, what: &str, request: &ApiRequest) -> AttemptError {
        to_problem(failed, |status, limited, text| {
            let remedy = match status.map(|status| status.as_u16()) {
                _ if limited => {
                    "Try again later. GitHub allows 5,000 requests an hour for a token.".to_owned()
                }
                Some(401) => "Create a new token: this one is not valid or has expired.".to_owned(),
                Some(403 | 404) => self.permission(),
                Some(422) => {
                    "Follow GitHub's message: check `--runner-name`, `--runner-labels` and `--runner-group`."
                        .to_owned()
                }
                _ => RETRY_LATER.to_owned(),
            };
            Problem::new(
                ErrorCode::RegistrationFailed,
                format!(
                    "Asked GitHub for {what} of {} ({} {}) and got: {text}.",
                    self.scope, request.method, request.route
                ),
                remedy,
            )
        })
    }

    /// Returns the remedy for a missing permission. GitHub also responds with 404 if a token cannot see something.
    fn permission(&self) -> String {
        let grant = match (&self.scope.kind, self.as_app) {
            (ScopeKind::Repository { .. }, true) => {
                "Give the App the repository permission Administration: write"
            }
            (ScopeKind::Repository { .. }, false) => {
                "Give the token the repository permission Administration: write, or use a classic token of a repository \
                 admin with the scope repo"
            }
            (ScopeKind::Organization(_), true) => {
                "Give the App the organization permission Self-hosted runners: write"
            }
            (ScopeKind::Organization(_), false) => {
                "Give the token the organization permission Self-hosted runners: write, or use a classic token of an owner \
                 with the scope admin:org"
            }
            (ScopeKind::Enterprise(_), _) => {
                "Use a classic token of an owner with the scope manage_runners:enterprise"
            }
        };
        format!("{grant}. Also check the spelling of `--github-url`.")
    }
}

const UNIQUE_NAME: &str = "Give each machine a unique `--runner-name`, such as its instance ID.";
const RETRY_LATER: &str =
    "Try again. If it fails again, check githubstatus.com and this machine's network access.";

/// Adds to a failure of the App's authentication what was requested, and the remedy.
fn explain_app(failed: FailedAttempt, scope: &RunnerScope, key: &AppKey, route: &str) -> AttemptError {
    to_problem(failed, |status, limited, text| {
        let remedy = match status.map(|status| status.as_u16()) {
            _ if limited => "Try again later.".to_owned(),
            Some(401) => format!(
                "Check that the key belongs to the App {} and is not revoked, and that this machine's clock is right.",
                key.id()
            ),
            Some(404) => format!("Install the App {} in {scope}, or correct `--github-url`.", key.id()),
            Some(403 | 422) => match &scope.kind {
                ScopeKind::Repository { .. } => {
                    "Give the App the repository permission Administration: write, and accept it in the App's \
                     installation."
                        .to_owned()
                }
                ScopeKind::Organization(_) | ScopeKind::Enterprise(_) => {
                    "Give the App the organization permission Self-hosted runners: write, and accept it in the App's \
                     installation."
                        .to_owned()
                }
            },
            _ => RETRY_LATER.to_owned(),
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

/// Replaces the error of a failure with the problem that `describe` returns for its status, whether it is a rate limit, and
/// its text. The problem of a proxy stays as it is.
fn to_problem(
    failed: FailedAttempt,
    describe: impl FnOnce(Option<StatusCode>, bool, &str) -> Problem,
) -> AttemptError {
    let limited = is_rate_limited(&failed);
    failed.map(|error| match error {
        GitHubError::Proxy(problem) => problem.into(),
        error => describe(error.status(), limited, &error.to_string()).into(),
    })
}

fn read<T: DeserializeOwned>(response: &Bytes) -> anyhow::Result<T> {
    serde_json::from_slice(response).context("parsing GitHub's response")
}

#[cfg(test)]
mod tests;
