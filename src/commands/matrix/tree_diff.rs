//! Compares two commits of which the clone lacks at least one.

use anyhow::ensure;

use crate::git::Git;
use crate::git::tree::{ChangeSet, TreeEntry, TreePair, differing_subdirectories};
use crate::github::api::{Listing, RepositoryApi};
use crate::matrix::changes::Change;
use crate::report::Report;

/// Reads trees from the clone if it has them, else from GitHub's API.
#[derive(Debug)]
pub(super) struct TreeReader<'a> {
    pub(super) git: Option<&'a Git>,
    pub(super) api: &'a RepositoryApi,
}

/// The most directories that are compared one by one. Each costs two to four requests, and a job's token has a thousand an
/// hour for all jobs of the repository
/// (<https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>).
const MAX_DIRECTORIES: usize = 200;

impl TreeReader<'_> {
    /// Returns whether the clone has a commit or a tree.
    pub(super) fn is_local(&self, id: &str) -> bool {
        self.git.is_some_and(|git| git.has(id))
    }

    async fn list(&self, tree: Option<&str>, recursive: bool) -> anyhow::Result<Listing> {
        // A directory that does not exist has no entries.
        let Some(tree) = tree else {
            let (entries, truncated) = (Vec::new(), false);
            return Ok(Listing { entries, truncated });
        };
        if let Some(git) = self.git.filter(|git| git.has(tree)) {
            match git.tree(tree, recursive) {
                Ok(entries) => {
                    let truncated = false;
                    return Ok(Listing { entries, truncated });
                }
                // A partial clone has commits without their trees, or trees without their subtrees.
                Err(error) => Report::detail(&format!("The clone lacks a tree: {error:#}")),
            }
        }
        self.api.tree(tree, recursive).await
    }

    /// Returns the files of both trees; `None` if one is larger than GitHub lists in one answer.
    async fn list_recursively(
        &self,
        before: Option<&str>,
        after: Option<&str>,
    ) -> anyhow::Result<Option<(Vec<TreeEntry>, Vec<TreeEntry>)>> {
        // Ask GitHub first, and list the other tree only if the answer is complete: they are about equally large.
        let swap = before.is_some_and(|before| self.is_local(before));
        let (first, second) = if swap { (after, before) } else { (before, after) };
        let first = self.list(first, true).await?;
        if first.truncated {
            return Ok(None);
        }
        let second = self.list(second, true).await?;
        if second.truncated {
            return Ok(None);
        }
        let (before, after) = if swap { (second, first) } else { (first, second) };
        Ok(Some((before.entries, after.entries)))
    }

    /// Returns what differs between two commits. Both are listed recursively; where GitHub truncates the answer, only the
    /// directories that differ are listed, one by one.
    pub(super) async fn compare(&self, base: &str, head: &str) -> anyhow::Result<Vec<Change>> {
        let mut changes = ChangeSet::default();
        let mut pending = vec![TreePair {
            dir: String::new(),
            before: Some(base.to_owned()),
            after: Some(head.to_owned()),
        }];
        let mut compared = 0;
        while let Some(pair) = pending.pop() {
            compared += 1;
            ensure!(
                compared <= MAX_DIRECTORIES,
                "the trees are larger than GitHub lists in one answer, and differ in more than {MAX_DIRECTORIES} directories"
            );
            let (before, after) = (pair.before.as_deref(), pair.after.as_deref());
            let (mut before, mut after) = match self.list_recursively(before, after).await? {
                Some(both) => both,
                None => {
                    let mut before = self.list(before, false).await?.entries;
                    let mut after = self.list(after, false).await?.entries;
                    pending.extend(differing_subdirectories(&pair.dir, &mut before, &mut after));
                    (before, after)
                }
            };
            changes.compare(&pair.dir, &mut before, &mut after);
        }
        Ok(changes.into_vec())
    }
}
