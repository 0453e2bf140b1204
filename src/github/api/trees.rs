//! Commits and trees.

use anyhow::Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::server::JSON;
use super::{Api, SHA};
use crate::error_code::ErrorCode;
use crate::matrix::changes::{Entry, Mode};
use crate::problem::Problem;

/// What is in a tree.
#[derive(Debug)]
pub struct Listing {
    pub entries: Vec<Entry>,
    /// There is more below it than GitHub tells at once: 100,000 entries or 7 MB
    /// (<https://docs.github.com/rest/git/trees#get-a-tree>).
    pub truncated: bool,
}

/// In a name that is a part of a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

#[derive(Deserialize)]
struct Compared {
    merge_base_commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
}

/// The fields that matter: of 100,000 entries the others are most of the memory.
#[derive(Deserialize)]
struct Tree {
    #[serde(default)]
    truncated: bool,
    tree: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    path: String,
    mode: String,
    sha: String,
}

impl Api {
    /// The id of a commit, from any of its names.
    pub async fn commit(&self, name: &str) -> anyhow::Result<String> {
        // GitHub knows refs as heads/NAME and tags/NAME.
        let reference = name.strip_prefix("refs/").unwrap_or(name);
        let route = format!("commits/{}", utf8_percent_encode(reference, ESCAPED));
        let answer = self.get(&format!("the commit {name}"), &route, SHA).await?;
        let id = String::from_utf8_lossy(&answer).trim().to_owned();
        let is_id = matches!(id.len(), 40 | 64) && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_id
            .then_some(id)
            .context(unreadable(&route, "no id of a commit"))
    }

    /// The newest commit that both have behind them.
    pub async fn merge_base(&self, one: &str, other: &str) -> anyhow::Result<String> {
        let what = format!("the merge base of {one} and {other}");
        // The first page has the differences of up to 300 files as well, which are megabytes; the ones after it have
        // commits alone, and may not be there where there is one commit.
        let pages = ["?per_page=1&page=2", "?per_page=1"];
        for page in pages {
            let route = format!("compare/{one}...{other}{page}");
            let answer = match self.get(&what, &route, JSON).await {
                Err(error) if page == pages[0] && error.to_string().contains("got: 404 ") => continue,
                answer => answer?,
            };
            let compared: Compared =
                serde_json::from_slice(&answer).map_err(|error| unreadable(&route, &error.to_string()))?;
            if let Some(commit) = compared.merge_base_commit {
                return Ok(commit.sha);
            }
        }
        Err(unreadable("compare", "no merge base").into())
    }

    /// The entries of a commit or tree: all files below it where `whole`, else those that are right in it.
    pub async fn tree(&self, id: &str, whole: bool) -> anyhow::Result<Listing> {
        // Any value of it would be taken for yes.
        let query = if whole { "?recursive=1" } else { "" };
        let route = format!("git/trees/{id}{query}");
        let answer = self.get(&format!("the tree of {id}"), &route, JSON).await?;
        listing(&answer, whole).map_err(|what| unreadable(&route, &what).into())
    }
}

/// From GitHub's answer.
fn listing(answer: &[u8], whole: bool) -> Result<Listing, String> {
    let Tree { truncated, tree } = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    let entry = |item: Item| {
        let mode = Mode::of(&item.mode)?;
        Some(Entry {
            path: item.path,
            mode,
            id: item.sha,
        })
    };
    let entries: Option<Vec<Entry>> = tree.into_iter().map(entry).collect();
    let mut entries = entries.ok_or("an entry without a mode")?;
    if whole {
        // What is below them is listed as well.
        entries.retain(|entry| entry.mode != Mode::Tree);
    } else if truncated {
        return Err("a folder with more entries than GitHub tells".into());
    }
    Ok(Listing { entries, truncated })
}

/// As [`Api::tree`] reads an answer.
#[cfg(fuzzing)]
pub fn listing_of(answer: &[u8], whole: bool) -> Result<Listing, String> {
    listing(answer, whole)
}

fn unreadable(route: &str, what: &str) -> Problem {
    Problem::new(
        ErrorCode::GithubChangesUnavailable,
        format!("Asked GitHub for {route} and got an answer that cannot be used: {what}."),
        "See whether a proxy answers in GitHub's place; the variable GITHUB_API_URL says where it is asked.",
    )
}
