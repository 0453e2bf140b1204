//! Reads a clone on this machine: commits, trees, and the files of its working tree. Nothing here fetches, asks for a
//! password or writes.

mod parse;
mod run;
pub mod tree;

use std::path::Path;

use anyhow::Context;

use crate::matrix::changes::{Change, ChangeKind};
use run::GitError;
use tree::{ChangeSet, TreeEntry};

pub use run::Git;
pub use tree::{FileKind, WorkTreeFile};

impl Git {
    /// Opens the clone that contains a directory; `None` if there is no clone, or git is not installed.
    pub fn open(dir: &Path) -> anyhow::Result<Option<Self>> {
        let dir = dir
            .canonicalize()
            .with_context(|| format!("looking for {}", dir.display()))?;
        // Git's own search fails in a directory of another user (safe.directory), as in the container of a job. Git does
        // not check the owner of a repository that GIT_DIR names.
        let found = dir.ancestors().find_map(|top| {
            let git_dir = top.join(".git");
            (git_dir.is_file() || git_dir.join("HEAD").exists()).then(|| Self {
                top: top.to_owned(),
                git_dir,
            })
        });
        let Some(git) = found else {
            return Ok(None);
        };
        match git.lines(&["rev-parse", "--is-inside-work-tree"]) {
            Err(GitError::NotInstalled) => Ok(None),
            Err(GitError::Failed(error)) => Err(error),
            Ok(inside) => Ok((inside == "true").then_some(git)),
        }
    }

    /// Returns the root directory, which paths are relative to.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// Returns the commit that is checked out; `None` before the first commit.
    pub fn head(&self) -> anyhow::Result<Option<String>> {
        self.commit("HEAD")
    }

    /// Returns the id of a commit by any of its names; `None` if the clone does not have it.
    pub fn commit(&self, name: &str) -> anyhow::Result<Option<String>> {
        if name.starts_with('-') {
            return Ok(None);
        }
        let output = self.output(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.succeeded || id.is_empty() {
            return Ok(None);
        }
        // rev-parse accepts any full id, whether or not the clone has the commit.
        Ok(self.has(&id).then_some(id))
    }

    /// Returns whether the clone has the object of an id.
    pub fn has(&self, id: &str) -> bool {
        let is_id = id.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_id
            && self
                .output(&["cat-file", "-e", id])
                .is_ok_and(|output| output.succeeded)
    }

    /// Returns the newest commit that both descend from. `None` in a shallow clone, whose history may show a wrong one.
    pub fn merge_base(&self, one: &str, other: &str) -> anyhow::Result<Option<String>> {
        if self.lines(&["rev-parse", "--is-shallow-repository"])? != "false" {
            return Ok(None);
        }
        for commit in [one, other] {
            if self.commit(commit)?.is_none() {
                return Ok(None);
            }
        }
        let output = self.output(&["merge-base", one, other])?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.succeeded && !id.is_empty()).then_some(id))
    }

    /// Returns what differs between two commits.
    pub fn changes(&self, base: &str, head: &str) -> anyhow::Result<Vec<Change>> {
        // Otherwise .gitmodules can hide changes of submodules.
        let options = ["-r", "--raw", "-z", "--no-renames", "--ignore-submodules=none"];
        let output = self.checked(&[&["diff-tree"], &options[..], &[base, head, "--"]].concat())?;
        let mut changes = ChangeSet::default();
        parse::raw_changes(&output, &mut changes)?;
        Ok(changes.into_vec())
    }

    /// Returns what differs between a commit and the working tree: later commits, uncommitted changes, and files that Git
    /// neither tracks nor ignores.
    pub fn work_tree_changes(&self, base: &str) -> anyhow::Result<Vec<Change>> {
        // diff, because diff-index reports files of which only the timestamp changed.
        let options = [
            "--raw",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--ignore-submodules=none",
        ];
        let output = self.checked(&[&["diff"], &options[..], &[base, "--"]].concat())?;
        let mut changes = ChangeSet::default();
        parse::raw_changes(&output, &mut changes)?;
        for file in self.untracked()? {
            let kind = match file.kind {
                FileKind::Submodule => ChangeKind::Submodule,
                FileKind::File | FileKind::Link => ChangeKind::File,
            };
            changes.add(file.path, kind);
        }
        Ok(changes.into_vec())
    }

    /// Returns the entries of a commit or tree: all files below it if `recursive`, else its direct entries.
    pub fn tree(&self, id: &str, recursive: bool) -> anyhow::Result<Vec<TreeEntry>> {
        let recursive: &[&str] = if recursive { &["-r"] } else { &[] };
        let output = self.checked(&[&["ls-tree", "-z", "--full-tree"], recursive, &[id]].concat())?;
        parse::tree(&output)
    }

    /// Returns the files that a build can find. A tracked file counts even if it does not exist: it may have been deleted, or
    /// left out by a sparse checkout.
    pub fn files(&self) -> anyhow::Result<Vec<WorkTreeFile>> {
        let output = self.checked(&["ls-files", "-z", "--stage"])?;
        let mut files = parse::index(&output)?;
        files.extend(self.untracked()?);
        files.sort_unstable();
        // A file with a merge conflict has an entry for each side.
        files.dedup_by(|file, previous| file.path == previous.path);
        Ok(files)
    }

    /// Returns the files that Git neither tracks nor ignores.
    fn untracked(&self) -> anyhow::Result<Vec<WorkTreeFile>> {
        let output = self.checked(&["ls-files", "-z", "--others", "--exclude-standard"])?;
        let paths = parse::paths(&output);
        let file = |path: &str| {
            // Git lists a directory only if it is a repository of its own.
            if let Some(dir) = path.strip_suffix('/') {
                let (path, kind) = (dir.to_owned(), FileKind::Submodule);
                return WorkTreeFile { path, kind };
            }
            let kind = if self.top.join(path).is_symlink() {
                FileKind::Link
            } else {
                FileKind::File
            };
            let path = path.to_owned();
            WorkTreeFile { path, kind }
        };
        Ok(paths.iter().map(|path| file(path)).collect())
    }
}

#[cfg(test)]
mod tests;
