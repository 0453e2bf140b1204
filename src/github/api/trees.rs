//! Commits and trees.

use anyhow::Context;
use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::server::JSON;
use super::{RepositoryApi, SHA};
use crate::error_code::ErrorCode;
use crate::git::tree::{FileMode, TreeEntry};
use crate::problem::Problem;

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

impl RepositoryApi {
    /// Returns the id of a commit by any of its names; `None` if GitHub answers that it does not exist.
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
        // GitHub takes any value for true.
        let query = if whole { "?recursive=1" } else { "" };
        let route = format!("git/trees/{id}{query}");
        let response = self.get(&format!("the tree of {id}"), &route, JSON).await?;
        listing(&response, whole).map_err(|error| unreadable(&route, &error.to_string()).into())
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
