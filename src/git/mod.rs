//! What a clone on this machine says: commits, trees, and the files of its work tree. Reads only; nothing here fetches,
//! asks for a password or writes.

mod read;
mod run;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::matrix::changes::{Change, Changes, Entry, Kind};

/// A clone with a work tree.
#[derive(Debug, Clone)]
pub struct Git {
    top: PathBuf,
    /// The folder `.git`, or the file of that name that a linked work tree or a submodule has.
    directory: PathBuf,
}

/// What a build may find in the work tree: what Git tracks, and what it neither tracks nor ignores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Relative to the top, with `/` between its parts.
    pub path: String,
    pub kind: FileKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    File,
    /// A symbolic link.
    Link,
    /// A folder with a repository of its own.
    Submodule,
}

impl Git {
    /// The clone that a folder is in; none where there is no clone, or no git to read it.
    pub fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("looking for {}", folder.display()))?;
        // Git's own search stops where a folder belongs to somebody else (safe.directory), as all do in the container
        // of a job. It does not mistrust a repository that it is told of.
        let found = folder.ancestors().find_map(|top| {
            let directory = top.join(".git");
            (directory.is_file() || directory.join("HEAD").exists()).then(|| Self {
                top: top.to_owned(),
                directory,
            })
        });
        let Some(git) = found else {
            return Ok(None);
        };
        match git.lines(&["rev-parse", "--is-inside-work-tree"]) {
            Err(error) if run::is_not_installed(&error) => Ok(None),
            Err(error) => Err(error),
            Ok(inside) => Ok((inside == "true").then_some(git)),
        }
    }

    /// The folder that paths are relative to.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// The commit that is checked out; none before the first one.
    pub fn head(&self) -> anyhow::Result<Option<String>> {
        self.commit("HEAD")
    }

    /// The id of a commit that is in this clone, from any of its names.
    pub fn commit(&self, name: &str) -> anyhow::Result<Option<String>> {
        if name.starts_with('-') {
            return Ok(None);
        }
        let output = self.output(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.succeeded || id.is_empty() {
            return Ok(None);
        }
        // A full id is one to rev-parse whether or not the commit is here.
        Ok(self.has(&id).then_some(id))
    }

    /// Whether an object is in this clone, by its id.
    pub fn has(&self, id: &str) -> bool {
        let is_id = id.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_id
            && self
                .output(&["cat-file", "-e", id])
                .is_ok_and(|output| output.succeeded)
    }

    /// The newest commit that both have behind them. None where the history is cut off, because then another commit
    /// may look like it.
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

    /// What differs between two commits.
    pub fn changes(&self, base: &str, head: &str) -> anyhow::Result<Vec<Change>> {
        // Submodules are hidden where the repository's own .gitmodules says so, unless Git is told not to.
        let options = ["-r", "--raw", "-z", "--no-renames", "--ignore-submodules=none"];
        let output = self.checked(&[&["diff-tree"], &options[..], &[base, head, "--"]].concat())?;
        let mut changes = Changes::default();
        read::raw_changes(&output, &mut changes)?;
        Ok(changes.into_vec())
    }

    /// What differs between a commit and the work tree: commits since, what is not committed, and files that Git
    /// neither tracks nor ignores.
    pub fn changes_of_work_tree(&self, base: &str) -> anyhow::Result<Vec<Change>> {
        // diff and not diff-index, which counts files that were only touched.
        let options = [
            "--raw",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--ignore-submodules=none",
        ];
        let output = self.checked(&[&["diff"], &options[..], &[base, "--"]].concat())?;
        let mut changes = Changes::default();
        read::raw_changes(&output, &mut changes)?;
        for file in self.untracked()? {
            let kind = match file.kind {
                FileKind::Submodule => Kind::Submodule,
                FileKind::File | FileKind::Link => Kind::File,
            };
            changes.add(file.path, kind);
        }
        Ok(changes.into_vec())
    }

    /// The entries of a commit or tree: all files below it where `whole`, else those that are right in it.
    pub fn tree(&self, id: &str, whole: bool) -> anyhow::Result<Vec<Entry>> {
        let recursive: &[&str] = if whole { &["-r"] } else { &[] };
        let output = self.checked(&[&["ls-tree", "-z", "--full-tree"], recursive, &[id]].concat())?;
        read::tree(&output)
    }

    /// The files that a build may find. A file that Git tracks and that is not there counts as well: it may have been
    /// deleted, or left out by a sparse checkout.
    pub fn files(&self) -> anyhow::Result<Vec<File>> {
        let output = self.checked(&["ls-files", "-z", "--stage"])?;
        let mut files = read::index(&output)?;
        files.extend(self.untracked()?);
        files.sort_unstable();
        // One that is in conflict has an entry for each side.
        files.dedup_by(|file, previous| file.path == previous.path);
        Ok(files)
    }

    fn untracked(&self) -> anyhow::Result<Vec<File>> {
        let output = self.checked(&["ls-files", "-z", "--others", "--exclude-standard"])?;
        let paths = read::paths(&output);
        let file = |path: &str| {
            // Git shows a folder only where it has a repository of its own.
            if let Some(folder) = path.strip_suffix('/') {
                let (path, kind) = (folder.to_owned(), FileKind::Submodule);
                return File { path, kind };
            }
            let kind = if self.top.join(path).is_symlink() {
                FileKind::Link
            } else {
                FileKind::File
            };
            let path = path.to_owned();
            File { path, kind }
        };
        Ok(paths.iter().map(|path| file(path)).collect())
    }
}

#[cfg(test)]
mod tests;
