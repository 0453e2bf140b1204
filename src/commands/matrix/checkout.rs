//! The checkout: its directory, its files and their contents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::env;
use crate::error_code::ErrorCode;
use crate::git::{FileKind, Git};
use crate::matrix::build_inputs::RepositoryFiles;
use crate::matrix::repo_paths::{ReadError, RepoPaths};
use crate::matrix::tree::FileTree;
use crate::problem::Problem;

/// A checkout: a Git clone, or files without Git.
#[derive(Debug)]
pub(super) struct Checkout {
    /// The repository's root, absolute and without symbolic links.
    pub(super) root_dir: PathBuf,
    /// The directory of the input `workdir`, absolute and without symbolic links.
    pub(super) work_dir: PathBuf,
    root: String,
    workdir: String,
    pub(super) tree: FileTree,
}

impl Checkout {
    /// Opens the checkout that contains a directory.
    pub(super) fn open(workdir: &str) -> anyhow::Result<Self> {
        let work_dir = Path::new(workdir)
            .canonicalize()
            .map_err(|error| workdir_not_found(workdir, &error))?;
        if !work_dir.is_dir() {
            return Err(workdir_not_found(workdir, &ErrorKind::NotADirectory.into()).into());
        }
        let (root_dir, tree) = match Git::open(&work_dir)? {
            Some(git) => (git.top().to_owned(), tracked_files(&git)?),
            None => {
                let root_dir = workspace(&work_dir).unwrap_or_else(|| work_dir.clone());
                let tree = files_on_disk(&root_dir)?;
                (root_dir, tree)
            }
        };
        let below = work_dir.strip_prefix(&root_dir).unwrap_or(Path::new(""));
        Ok(Self {
            root: root_dir.to_string_lossy().into_owned(),
            workdir: below.to_string_lossy().into_owned(),
            root_dir,
            work_dir,
            tree,
        })
    }

    /// Returns the directories that paths of the definition are relative to.
    pub(super) fn paths(&self) -> RepoPaths<'_> {
        RepoPaths {
            root: &self.root,
            workdir: &self.workdir,
        }
    }

    /// Calls a function with the files of the checkout.
    pub(super) fn with_files<T>(&self, function: impl FnOnce(RepositoryFiles<'_>) -> T) -> T {
        function(RepositoryFiles {
            paths: self.paths(),
            tree: &self.tree,
            read: &|path| self.read(path),
        })
    }

    /// Reads a file by its path from the root; `None` if it does not exist. Invalid UTF-8 is replaced.
    pub(super) fn read(&self, path: &str) -> Result<Option<String>, ReadError> {
        match std::fs::read(self.root_dir.join(path)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => Ok(None),
            Err(error) => Err(ReadError {
                path: path.to_owned(),
                cause: error.to_string(),
            }),
        }
    }
}

fn workdir_not_found(workdir: &str, error: &std::io::Error) -> Problem {
    let remedy = if env::in_job() {
        "Check the repository out before this step (actions/checkout), or correct `workdir`."
    } else {
        "Correct `workdir`."
    };
    Problem::new(
        ErrorCode::WorkdirNotFound,
        format!("Tried to open `workdir: {workdir}` and got: {error}."),
        remedy,
    )
}

/// Returns the job's workspace if it contains the directory.
fn workspace(work_dir: &Path) -> Option<PathBuf> {
    let workspace = env::path(env::GITHUB_WORKSPACE)?.canonicalize().ok()?;
    work_dir.starts_with(&workspace).then_some(workspace)
}

/// Returns the files that a build can find in a clone.
fn tracked_files(git: &Git) -> anyhow::Result<FileTree> {
    let (mut files, mut links, mut submodules) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    for file in git.files()? {
        match file.kind {
            FileKind::File => files.push(file.path),
            FileKind::Link => {
                links.extend(link(git.top(), &file.path));
                files.push(file.path);
            }
            FileKind::Submodule => drop(submodules.insert(file.path)),
        }
    }
    Ok(FileTree::new(files, links, submodules))
}

/// Returns a symbolic link with its target; `None` if the link does not exist.
fn link(top: &Path, path: &str) -> Option<(String, String)> {
    let to = std::fs::read_link(top.join(path)).ok()?;
    Some((path.to_owned(), to.to_string_lossy().into_owned()))
}

/// Returns all files below a directory. Without Git on the runner, actions/checkout downloads the files without a clone.
/// Ignored files are then not distinguished from others.
fn files_on_disk(top: &Path) -> anyhow::Result<FileTree> {
    let (mut files, mut links) = (Vec::new(), BTreeMap::new());
    let mut pending = vec![top.to_owned()];
    while let Some(dir) = pending.pop() {
        let entries = std::fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("listing {}", dir.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                if entry.file_name() != ".git" {
                    pending.push(path);
                }
                continue;
            }
            let below = path.strip_prefix(top).unwrap_or(&path);
            let below = below.to_string_lossy().into_owned();
            if kind.is_symlink() {
                links.extend(link(top, &below));
            }
            files.push(below);
        }
    }
    Ok(FileTree::new(files, links, BTreeSet::new()))
}
