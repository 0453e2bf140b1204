//! The difference of two commits that are not both in the clone.

use anyhow::ensure;

use crate::git::Git;
use crate::github::api::{Listing, RepositoryApi};
use crate::matrix::changes::{Change, Changes, Entry, Pair, differing_folders};
use crate::report::Report;

/// Where trees are read: in the clone what it has, the rest from GitHub.
#[derive(Debug)]
pub(super) struct Trees<'a> {
    pub(super) git: Option<&'a Git>,
    pub(super) api: &'a RepositoryApi,
}

/// Each costs two requests, sometimes four, and a job's token has a thousand an hour for all jobs of the repository
/// (<https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api>).
const MOST_FOLDERS: usize = 200;

impl Trees<'_> {
    /// Whether the clone has a commit or a tree.
    pub(super) fn has(&self, id: &str) -> bool {
        self.git.is_some_and(|git| git.has(id))
    }

    async fn list(&self, tree: Option<&str>, whole: bool) -> anyhow::Result<Listing> {
        // A folder that is not there has nothing in it.
        let Some(tree) = tree else {
            let (entries, truncated) = (Vec::new(), false);
            return Ok(Listing { entries, truncated });
        };
        if let Some(git) = self.git.filter(|git| git.has(tree)) {
            match git.tree(tree, whole) {
                Ok(entries) => {
                    let truncated = false;
                    return Ok(Listing { entries, truncated });
                }
                // A partial clone has commits without their trees, or trees without those in them.
                Err(error) => Report::detail(&format!("The clone lacks a tree: {error:#}")),
            }
        }
        self.api.tree(tree, whole).await
    }

    /// All files of both, or none where there are more than GitHub tells at once.
    async fn whole(
        &self,
        old: Option<&str>,
        new: Option<&str>,
    ) -> anyhow::Result<Option<(Vec<Entry>, Vec<Entry>)>> {
        // GitHub's first, and the other only if that one is not cut off: it is about as large.
        let swap = old.is_some_and(|old| self.has(old));
        let (first, second) = if swap { (new, old) } else { (old, new) };
        let first = self.list(first, true).await?;
        if first.truncated {
            return Ok(None);
        }
        let second = self.list(second, true).await?;
        if second.truncated {
            return Ok(None);
        }
        let (old, new) = if swap { (second, first) } else { (first, second) };
        Ok(Some((old.entries, new.entries)))
    }

    /// Both trees whole; where GitHub cuts one off, folder by folder, and only into those that differ.
    pub(super) async fn difference(&self, base: &str, head: &str) -> anyhow::Result<Vec<Change>> {
        let mut changes = Changes::default();
        let mut open = vec![Pair {
            folder: String::new(),
            before: Some(base.to_owned()),
            after: Some(head.to_owned()),
        }];
        let mut looked_into = 0;
        while let Some(pair) = open.pop() {
            looked_into += 1;
            ensure!(
                looked_into <= MOST_FOLDERS,
                "the trees are larger than GitHub tells at once, and differ in more than {MOST_FOLDERS} folders"
            );
            let (old, new) = (pair.before.as_deref(), pair.after.as_deref());
            let (mut old, mut new) = match self.whole(old, new).await? {
                Some(both) => both,
                None => {
                    let mut old = self.list(old, false).await?.entries;
                    let mut new = self.list(new, false).await?.entries;
                    open.extend(differing_folders(&pair.folder, &mut old, &mut new));
                    (old, new)
                }
            };
            changes.compare(&pair.folder, &mut old, &mut new);
        }
        Ok(changes.into_vec())
    }
}
