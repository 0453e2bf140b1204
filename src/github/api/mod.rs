//! What GitHub's REST API says of a repository's commits and trees, and of runners.

mod limits;
pub mod runners;
mod server;
mod trees;

use std::time::Instant;

use bytes::Bytes;

use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;
use server::{Question, Server, is_limited};

pub use trees::Listing;
#[cfg(fuzzing)]
pub use trees::listing_of;

/// GitHub, for one repository and until a deadline.
#[derive(Debug)]
pub struct Api {
    server: Server,
    /// `owner/name`.
    repository: String,
    anonymous: bool,
}

/// The id of a commit and nothing else.
const SHA: &str = "application/vnd.github.sha";

impl Api {
    /// `url` is GitHub's or that of an Enterprise server, which has a path. Without a token GitHub answers for public
    /// repositories, a few times an hour. Wants to be called within the asynchronous runtime.
    pub fn new(
        url: &str,
        repository: &str,
        token: Option<&Secret>,
        deadline: Instant,
    ) -> anyhow::Result<Self> {
        let retrier = Retrier::new(deadline, Report::detail);
        Ok(Self {
            server: Server::new(url, token, deadline, retrier)?,
            repository: repository.to_owned(),
            anonymous: token.is_none(),
        })
    }

    /// Asks for `/repos/OWNER/NAME/…` until there is an answer. `what` is what it is for.
    async fn get(&self, what: &str, route: &str, accept: &'static str) -> anyhow::Result<Bytes> {
        let route = format!("/repos/{}/{route}", self.repository);
        let question = Question {
            accept,
            ..Question::get(route.as_str())
        };
        let explained = |failed| self.explained(failed, what, &route);
        self.server.ask(&question, explained).await
    }

    fn explained(&self, failed: AttemptError, what: &str, route: &str) -> AttemptError {
        let limited = is_limited(&failed);
        let AttemptError {
            kind,
            retry_after,
            error,
        } = failed;
        let text = format!("{error:#}");
        let remedy = remedy(&text, limited, self.anonymous);
        let problem = Problem::new(
            ErrorCode::GithubChangesUnavailable,
            format!("Asked GitHub for {what} (GET {route}) and got: {text}."),
            remedy,
        );
        AttemptError {
            kind,
            retry_after,
            error: problem.into(),
        }
    }
}

/// `text` begins with the status, if there was an answer.
fn remedy(text: &str, limited: bool, anonymous: bool) -> &'static str {
    match text.get(..3) {
        _ if limited && anonymous => {
            "Pass a token, `github-token: ${{ github.token }}`: without one GitHub answers 60 times an hour for all that \
             share this runner's address."
        }
        _ if limited => {
            "Run the job again later. With `fetch-depth: 0` actions/checkout brings the commits, and GitHub is not asked."
        }
        Some("401") => "The token is not valid: pass `github-token: ${{ github.token }}`.",
        Some("403" | "404") if anonymous => {
            "Without a token GitHub answers for public repositories alone: pass `github-token: ${{ github.token }}`."
        }
        Some("403" | "404") => {
            "The token may not read the contents of this repository, or GitHub does not know the commit. Add to the job: \
             `permissions: { contents: read }`."
        }
        Some("422") => "GitHub knows no such commit, branch or tag: check the input `base`.",
        _ => "Run the job again; if it stays, see githubstatus.com and what this runner may reach.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_remedy() {
        for (text, limited, anonymous, word) in [
            ("401 Unauthorized: Bad credentials", false, false, "is not valid"),
            (
                "403 Forbidden: Resource not accessible",
                false,
                false,
                "contents: read",
            ),
            ("404 Not Found", false, false, "contents: read"),
            ("404 Not Found", false, true, "Without a token"),
            (
                "403 Forbidden: API rate limit exceeded",
                true,
                true,
                "60 times an hour",
            ),
            (
                "403 Forbidden: API rate limit exceeded",
                true,
                false,
                "fetch-depth: 0",
            ),
            (
                "422 Unprocessable Entity: No commit found",
                false,
                false,
                "the input `base`",
            ),
            ("500 Internal Server Error", false, false, "githubstatus.com"),
            ("é", false, false, "githubstatus.com"),
        ] {
            let remedy = remedy(text, limited, anonymous);
            assert!(remedy.contains(word), "{text}: {remedy}");
        }
    }
}
