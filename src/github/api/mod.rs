//! GitHub's REST API: commits and trees of a repository, and registration of runners.

mod limits;
pub mod runners;
mod server;
mod trees;

use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;

use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;
use server::{ApiRequest, GitHubApi, is_rate_limited, status_of};

pub use trees::Listing;
#[cfg(fuzzing)]
pub use trees::listing_of;

/// GitHub's API for one repository, until a deadline.
#[derive(Debug)]
pub struct RepositoryApi {
    server: GitHubApi,
    /// `owner/name`.
    repository: String,
    anonymous: bool,
}

/// The media type of a response that is a commit's id alone.
const SHA: &str = "application/vnd.github.sha";

impl RepositoryApi {
    /// Creates a client. `url` is GitHub's or an Enterprise server's, which has a path. Without a token only public repositories
    /// can be read, a few times an hour. Must be called within the asynchronous runtime.
    pub fn new(
        url: &str,
        repository: &str,
        token: Option<&Secret>,
        deadline: Instant,
    ) -> anyhow::Result<Self> {
        let retrier = Retrier::new(deadline, Report::retry);
        Ok(Self {
            server: GitHubApi::new(url, token, deadline, retrier)?,
            repository: repository.to_owned(),
            anonymous: token.is_none(),
        })
    }

    /// Returns the request of `/repos/OWNER/NAME/…`.
    fn request(&self, route: &str, accept: &'static str) -> ApiRequest {
        ApiRequest {
            accept,
            ..ApiRequest::get(format!("/repos/{}/{route}", self.repository))
        }
    }

    /// Requests `/repos/OWNER/NAME/…`. `what` names the purpose, for the error.
    async fn get(&self, what: &str, route: &str, accept: &'static str) -> anyhow::Result<Bytes> {
        let request = self.request(route, accept);
        let explain = |failed| self.explain(failed, what, &request.route);
        self.server.send(&request, explain).await
    }

    /// Requests `/repos/OWNER/NAME/…` like [`Self::get`]; returns `None` if GitHub responds with the status `absent`.
    async fn get_optional(
        &self,
        what: &str,
        route: &str,
        accept: &'static str,
        absent: StatusCode,
    ) -> anyhow::Result<Option<Bytes>> {
        let request = self.request(route, accept);
        let explain = |failed| self.explain(failed, what, &request.route);
        self.server.send_optional(&request, absent, explain).await
    }

    /// Adds to a failure what was requested, and the remedy.
    fn explain(&self, failed: AttemptError, what: &str, route: &str) -> AttemptError {
        let remedy = remedy(status_of(&failed), is_rate_limited(&failed), self.anonymous);
        let problem = Problem::new(
            ErrorCode::GithubChangesUnavailable,
            format!(
                "Asked GitHub for {what} (GET {route}) and got: {:#}.",
                failed.error
            ),
            remedy,
        );
        AttemptError {
            error: problem.into(),
            ..failed
        }
    }
}

/// Returns the remedy for a failure; `status` is `None` if there was no response.
fn remedy(status: Option<StatusCode>, limited: bool, anonymous: bool) -> &'static str {
    match status.map(|status| status.as_u16()) {
        _ if limited && anonymous => {
            "Set `github-token: ${{ github.token }}`. Without a token GitHub allows 60 requests an hour for all machines that \
             share this runner's IP address."
        }
        _ if limited => {
            "Run the job again later. With `fetch-depth: 0` in actions/checkout the commits are local, and GitHub is not asked."
        }
        Some(401) => "Set `github-token: ${{ github.token }}`: the present token is not valid.",
        Some(403 | 404) if anonymous => {
            "Set `github-token: ${{ github.token }}`. Without a token GitHub shows public repositories only."
        }
        Some(403 | 404) => {
            "Add to the job: `permissions: { contents: read }`. The token cannot read the contents of this repository, or \
             GitHub does not know the commit."
        }
        Some(422) => "Check the input `base`: GitHub knows no such commit, branch or tag.",
        _ => "Run the job again. If it fails again, check githubstatus.com and this runner's network access.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_remedy() {
        for (status, limited, anonymous, word) in [
            (401, false, false, "is not valid"),
            (403, false, false, "contents: read"),
            (404, false, false, "contents: read"),
            (404, false, true, "Without a token"),
            (403, true, true, "60 requests an hour"),
            (403, true, false, "fetch-depth: 0"),
            (422, false, false, "the input `base`"),
            (500, false, false, "githubstatus.com"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let remedy = remedy(Some(status), limited, anonymous);
            assert!(remedy.contains(word), "{status}: {remedy}");
        }
        assert!(remedy(None, false, false).contains("githubstatus.com"));
    }
}
