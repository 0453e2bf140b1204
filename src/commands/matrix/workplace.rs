//! The working copy: where it is, which files it has, and what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::env;
use crate::error_code::ErrorCode;
use crate::git::{FileKind, Git};
use crate::matrix::parts::Repository;
use crate::matrix::place::Place;
use crate::matrix::tree::Tree;
use crate::problem::Problem;

/// A working copy, of Git or of a checkout without it.
#[derive(Debug)]
pub(super) struct Workplace {
    /// Absolute and without links, as is the working folder in it.
    pub(super) top: PathBuf,
    pub(super) working: PathBuf,
    root: String,
    workdir: String,
    pub(super) tree: Tree,
}

impl Workplace {
    pub(super) fn open(workdir: &str) -> anyhow::Result<Self> {
        let working = Path::new(workdir)
            .canonicalize()
            .map_err(|error| not_there(workdir, &error))?;
        if !working.is_dir() {
            return Err(not_there(workdir, &ErrorKind::NotADirectory.into()).into());
        }
        let (top, tree) = match Git::open(&working)? {
            Some(git) => (git.top().to_owned(), of_git(&git)?),
            None => {
                let top = workspace(&working).unwrap_or_else(|| working.clone());
                let tree = on_disk(&top)?;
                (top, tree)
            }
        };
        let below = working.strip_prefix(&top).unwrap_or(Path::new(""));
        Ok(Self {
            root: top.to_string_lossy().into_owned(),
            workdir: below.to_string_lossy().into_owned(),
            top,
            working,
            tree,
        })
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            root: &self.root,
            workdir: &self.workdir,
        }
    }

    /// Gives files and their texts to whoever decides by them.
    pub(super) fn read<T>(&self, by: impl FnOnce(Repository<'_>) -> T) -> T {
        by(Repository {
            place: self.place(),
            tree: &self.tree,
            text: &|path| self.text(path),
        })
    }

    /// A file of the repository. What is no text is taken as well as it can be.
    pub(super) fn text(&self, path: &str) -> Result<Option<String>, String> {
        match std::fs::read(self.top.join(path)) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => Ok(None),
            Err(error) => Err(format!("{path} cannot be read: {error}")),
        }
    }
}

fn not_there(workdir: &str, error: &std::io::Error) -> Problem {
    Problem::new(
        ErrorCode::WorkdirNotFound,
        format!("Looked for the folder `workdir: {workdir}` and got: {error}."),
        "Check the repository out first (actions/checkout), and name a folder in it.",
    )
}

/// Where a job checks out, when that is around a folder.
fn workspace(working: &Path) -> Option<PathBuf> {
    let workspace = env::path(env::GITHUB_WORKSPACE)?.canonicalize().ok()?;
    working.starts_with(&workspace).then_some(workspace)
}

fn of_git(git: &Git) -> anyhow::Result<Tree> {
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
    Ok(Tree::new(files, links, submodules))
}

/// What a link says; one that is not there leads nowhere.
fn link(top: &Path, path: &str) -> Option<(String, String)> {
    let to = std::fs::read_link(top.join(path)).ok()?;
    Some((path.to_owned(), to.to_string_lossy().into_owned()))
}

/// actions/checkout leaves no clone where there is no Git: then every file counts.
fn on_disk(top: &Path) -> anyhow::Result<Tree> {
    let (mut files, mut links) = (Vec::new(), BTreeMap::new());
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("listing {}", folder.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                if entry.file_name() != ".git" {
                    folders.push(path);
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
    Ok(Tree::new(files, links, BTreeSet::new()))
}
