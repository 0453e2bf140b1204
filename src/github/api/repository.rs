//! Commits and trees of a repository.

use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::server::{ApiRequest, FailedAttempt, GitHubApi, GitHubError, JSON, is_rate_limited};
use crate::error_code::ErrorCode;
use crate::git::tree::{FileMode, TreeEntry};
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;

/// GitHub's API for one repository, until a deadline.
#[derive(Debug)]
pub struct RepositoryApi {
    server: GitHubApi,
    /// `owner/name`.
    repository: String,
    anonymous: bool,
}

/// The entries of a tree.
#[derive(Debug)]
pub struct Listing {
    pub entries: Vec<TreeEntry>,
    /// Whether GitHub left entries out: a response has at most 100,000 entries or 7 MB
    /// (<https://docs.github.com/rest/git/trees#get-a-tree>).
    pub truncated: bool,
}

/// The characters that are percent-encoded in a name within a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

#[derive(Deserialize)]
struct ComparisonResponse {
    merge_base_commit: Option<CommitResponse>,
}

#[derive(Deserialize)]
struct CommitResponse {
    sha: String,
}

/// The fields that are used. The others would be most of the memory of 100,000 entries.
#[derive(Deserialize)]
struct TreeResponse {
    #[serde(default)]
    truncated: bool,
    tree: Vec<TreeItem>,
}

#[derive(Deserialize)]
struct TreeItem {
    path: String,
    mode: String,
    sha: String,
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

    /// Returns the id of a commit by any of its names; `None` if it does not exist.
    pub async fn commit(&self, name: &str) -> anyhow::Result<Option<String>> {
        // GitHub's API writes refs as heads/NAME and tags/NAME.
        let reference = name.strip_prefix("refs/").unwrap_or(name);
        let route = format!("commits/{}", utf8_percent_encode(reference, ESCAPED));
        // GitHub responds with 404 if the token has no access to the repository.
        let absent = StatusCode::UNPROCESSABLE_ENTITY;
        let what = format!("the commit {name}");
        let Some(response) = self.get_optional(&what, &route, SHA, absent).await? else {
            return Ok(None);
        };
        let id = String::from_utf8_lossy(&response).trim().to_owned();
        let is_id = matches!(id.len(), 40 | 64) && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = is_id.then_some(id);
        id.context(unreadable(&route, "it is not a commit id")).map(Some)
    }

    /// Returns the merge base of two commits.
    pub async fn merge_base(&self, one: &str, other: &str) -> anyhow::Result<String> {
        let what = format!("the merge base of {one} and {other}");
        // The first page also has the differences of up to 300 files, which are megabytes. The second page has only commits;
        // it may not exist if there is one commit.
        let pages = ["?per_page=1&page=2", "?per_page=1"];
        for page in pages {
            let route = format!("compare/{one}...{other}{page}");
            let response = if page == pages[0] {
                self.get_optional(&what, &route, JSON, StatusCode::NOT_FOUND)
                    .await?
            } else {
                Some(self.get(&what, &route, JSON).await?)
            };
            let Some(response) = response else { continue };
            let comparison: ComparisonResponse =
                serde_json::from_slice(&response).map_err(|error| unreadable(&route, &error.to_string()))?;
            if let Some(commit) = comparison.merge_base_commit {
                return Ok(commit.sha);
            }
        }
        Err(unreadable("compare", "it has no merge base").into())
    }

    /// Returns the entries of a commit or tree: all files below it if `whole`, else its direct entries.
    pub async fn tree(&self, id: &str, whole: bool) -> anyhow::Result<Listing> {
        // To GitHub, any value means true.
        let query = if whole { "?recursive=1" } else { "" };
        let route = format!("git/trees/{id}{query}");
        let response = self.get(&format!("the tree of {id}"), &route, JSON).await?;
        listing(&response, whole).map_err(|error| unreadable(&route, &error.to_string()).into())
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
        let response = self.server.send_expecting(&request, absent, explain).await?;
        Ok(response.ok())
    }

    /// Adds to a failure what was requested, and the remedy.
    fn explain(&self, failed: FailedAttempt, what: &str, route: &str) -> AttemptError {
        let limited = is_rate_limited(&failed);
        failed.map(|error| {
            if let GitHubError::Proxy(problem) = error {
                return problem.into();
            }
            let problem = Problem::new(
                ErrorCode::GithubChangesUnavailable,
                format!("Asked GitHub for {what} (GET {route}) and got: {error}."),
                remedy(error.status(), limited, self.anonymous),
            );
            problem.into()
        })
    }
}

/// Parses GitHub's response.
fn listing(response: &[u8], whole: bool) -> anyhow::Result<Listing> {
    let TreeResponse { truncated, tree } = serde_json::from_slice(response)?;
    let entry = |item: TreeItem| {
        let mode = FileMode::parse(&item.mode)?;
        Some(TreeEntry {
            path: item.path,
            mode,
            id: item.sha,
        })
    };
    let entries: Option<Vec<TreeEntry>> = tree.into_iter().map(entry).collect();
    let mut entries = entries.context("it has an entry with an unknown mode")?;
    if whole {
        // Their contents are listed as well.
        entries.retain(|entry| entry.mode != FileMode::Tree);
    } else if truncated {
        anyhow::bail!("it is truncated: the directory has more entries than GitHub returns");
    }
    Ok(Listing { entries, truncated })
}

/// Parses a response as [`RepositoryApi::tree`] does, for the fuzzer.
#[cfg(fuzzing)]
pub fn listing_of(response: &[u8], whole: bool) -> anyhow::Result<Listing> {
    listing(response, whole)
}

fn unreadable(route: &str, what: &str) -> Problem {
    Problem::new(
        ErrorCode::GithubChangesUnavailable,
        format!("Asked GitHub for {route} and got a response that cannot be used: {what}."),
        "Check GITHUB_API_URL, and whether a proxy responds instead of GitHub.",
    )
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
        Some(401) => "Set `github-token: ${{ github.token }}`: the current token is not valid.",
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
