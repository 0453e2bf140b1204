//! The ids of a repository and its owner, which are in the immutable subject of its OIDC tokens.

use std::time::Instant;

use serde::Deserialize;

use super::server::{ApiRequest, FailedAttempt, GitHubApi, GitHubError, is_rate_limited};
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;

/// A repository by its present names and its ids.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RepositoryResponse")]
pub struct RepositoryIdentity {
    pub owner: String,
    pub owner_id: u64,
    pub name: String,
    pub id: u64,
}

#[derive(Deserialize)]
struct RepositoryResponse {
    id: u64,
    name: String,
    owner: OwnerResponse,
}

#[derive(Deserialize)]
struct OwnerResponse {
    id: u64,
    login: String,
}

impl From<RepositoryResponse> for RepositoryIdentity {
    fn from(response: RepositoryResponse) -> Self {
        Self {
            owner: response.owner.login,
            owner_id: response.owner.id,
            name: response.name,
            id: response.id,
        }
    }
}

/// Asks GitHub for the ids of a repository, as `owner/name`. Without a token GitHub shows public repositories only. Must be
/// called within the asynchronous runtime.
pub async fn repository_identity(
    url: &str,
    repository: &str,
    token: Option<&Secret>,
    deadline: Instant,
) -> anyhow::Result<RepositoryIdentity> {
    let retrier = Retrier::new(deadline, Report::retry);
    let server = GitHubApi::new(url, token, deadline, retrier)?;
    let request = ApiRequest::get(format!("/repos/{repository}"));
    let explain = |failed| explain(failed, repository, token.is_none());
    let response = server.send(&request, explain).await?;
    serde_json::from_slice(&response)
        .map_err(|error| unknown(repository, &error.to_string(), GIVE_IDS).into())
}

const GIVE_IDS: &str = "Name the repository with its ids";

fn explain(failed: FailedAttempt, repository: &str, anonymous: bool) -> AttemptError {
    let limited = is_rate_limited(&failed);
    failed.map(|error| match error {
        GitHubError::Proxy(problem) => problem.into(),
        error => {
            let status = error.status().map(|status| status.as_u16());
            let remedy = match status {
                Some(404) if anonymous => {
                    "Check the name. If the repository is private, set GITHUB_TOKEN to a token that can read it; or name it \
                     with its ids"
                }
                Some(401 | 403 | 404) if !limited => {
                    "Check the name, and that the token in GITHUB_TOKEN or GH_TOKEN can read the repository; or name it with \
                     its ids"
                }
                _ if limited && anonymous => "Set GITHUB_TOKEN; or name the repository with its ids",
                _ => GIVE_IDS,
            };
            unknown(repository, &error.to_string(), remedy).into()
        }
    })
}

fn unknown(repository: &str, why: &str, remedy: &str) -> Problem {
    let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
    Problem::new(
        ErrorCode::RepositoryIdsUnknown,
        format!(
            "Asked GitHub for the ids of the repository {repository} (GET /repos/{repository}) and got: {}.",
            why.trim_end_matches('.')
        ),
        format!(
            "{remedy}: `--repository {owner}@OWNER_ID/{name}@REPOSITORY_ID`, which this prints: gh api repos/{repository} \
             --jq '\"\\(.owner.login)@\\(.owner.id)/\\(.name)@\\(.id)\"'"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_has_its_present_names() {
        let response = r#"{"id": 2, "name": "shop", "full_name": "acme/shop", "private": true,
            "owner": {"login": "acme", "id": 1, "type": "Organization"}}"#;
        let expected = RepositoryIdentity {
            owner: "acme".into(),
            owner_id: 1,
            name: "shop".into(),
            id: 2,
        };
        assert_eq!(
            serde_json::from_str::<RepositoryIdentity>(response).expect("valid"),
            expected
        );
    }

    #[test]
    fn error_of_a_repository_that_github_does_not_show() {
        let remedy = "Check the name. If the repository is private, set GITHUB_TOKEN to a token that can read it; or name it \
                      with its ids";
        insta::assert_snapshot!(unknown("acme/shop", "404 Not Found: Not Found", remedy));
    }
}
