//! What a target is made of, in paths of the repository.
//!
//! Its Dockerfile and ignore files, what the stages that it reaches read of its context and named contexts, and the
//! targets that it links to. What cannot be known is said so, and then counts as touched by anything.

mod gather;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::changes::{Change, Kind};
use super::dockerfile::Sources;
use super::ignore::Ignore;
use super::tree::{Tree, within};

pub use gather::{Repository, gather};

/// What a file is to a target by itself, whatever is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Dockerfile,
    /// A .dockerignore that decides what there is to copy. A change in it counts as one of what is copied.
    Ignore,
    /// A symbolic link on the way to something else.
    Link,
    /// A policy that buildx finds beside the Dockerfile.
    Policy,
}

/// What a target is made of.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    files: BTreeMap<String, Role>,
    folders: Vec<Folder>,
    /// Targets whose results it uses.
    pub linked: BTreeSet<String>,
    /// Why more than that may go into it.
    pub unknown: Option<String>,
    /// A Dockerfile that was not understood: where, and why.
    pub fault: Option<String>,
}

/// What is read of one context.
#[derive(Debug, Clone)]
struct Folder {
    path: String,
    ignore: Arc<IgnoreFile>,
    wanted: Vec<Wanted>,
}

#[derive(Debug, Clone)]
enum Wanted {
    All,
    Paths(Sources),
}

/// A .dockerignore as it is read.
#[derive(Debug, Clone)]
struct IgnoreFile {
    ignore: Ignore,
    /// Whether some of what is below an ignored folder may be kept all the same.
    keeps_some: bool,
}

impl IgnoreFile {
    fn of(text: &str) -> Self {
        Self {
            ignore: Ignore::parse(text),
            keeps_some: text.lines().any(|line| line.trim_start().starts_with('!')),
        }
    }

    fn ignores(&self, path: &str, kind: Kind) -> bool {
        match kind {
            Kind::Edited | Kind::File | Kind::Folder => self.ignore.ignores(path),
            Kind::Submodule => !self.keeps_some && self.ignore.ignores(path),
        }
    }
}

/// The changes that touch a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The first path.
    pub path: String,
    pub role: Option<Role>,
    /// How many others there are, counted no further than [`MANY`].
    pub more: usize,
}

/// Whoever reads of so many files does not ask for their number.
pub const MANY: usize = 99;

impl Parts {
    /// What of the changes goes into the target by itself. The changes are in order.
    pub fn touched(&self, changes: &[Change]) -> Option<Touch> {
        let mut found: BTreeMap<&str, Option<Role>> = BTreeMap::new();
        for (file, role) in &self.files {
            for change in on_the_way(changes, file) {
                found.insert(change, Some(*role));
            }
        }
        for folder in &self.folders {
            if !folder.path.is_empty() {
                for change in on_the_way(changes, &folder.path) {
                    found.entry(change).or_default();
                }
            }
            for wanted in &folder.wanted {
                scan::each(changes, &folder.path, change_path, wanted, |change, path| {
                    if folder.takes(wanted, path, change.kind) {
                        found.entry(&change.path).or_default();
                    }
                    found.len() <= MANY
                });
            }
        }
        // Of a folder people hear where no file says more.
        let folder = |path: &str| {
            let at = changes.binary_search_by(|change| change.path.as_str().cmp(path));
            at.is_ok_and(|at| changes[at].kind == Kind::Folder)
        };
        if found.keys().any(|path| !folder(path)) {
            found.retain(|path, _| !folder(path));
        }
        let more = found.len().saturating_sub(1).min(MANY);
        let (path, role) = found.into_iter().next()?;
        Some(Touch {
            path: path.to_owned(),
            role,
            more,
        })
    }

    /// The files that go into the target by itself.
    pub fn list<'t>(&self, tree: &'t Tree) -> BTreeSet<&'t str> {
        let mut found = BTreeSet::new();
        let own = tree.files().iter().filter(|file| self.files.contains_key(*file));
        found.extend(own.map(String::as_str));
        for folder in &self.folders {
            for wanted in &folder.wanted {
                folder.each(tree, wanted, |file| {
                    found.insert(file);
                    true
                });
            }
        }
        found
    }
}

impl Folder {
    fn takes(&self, wanted: &Wanted, path: &str, kind: Kind) -> bool {
        let takes = match (wanted, kind) {
            (Wanted::All, _) => true,
            (Wanted::Paths(sources), Kind::Submodule) => sources.takes(path) || sources.may_take_below(path),
            (Wanted::Paths(sources), _) => sources.takes(path),
        };
        takes && !self.ignore.ignores(path, kind)
    }

    /// Calls for each file of the tree that is read, until told to stop.
    fn each<'t>(&self, tree: &'t Tree, wanted: &Wanted, mut found: impl FnMut(&'t str) -> bool) {
        scan::each(tree.files(), &self.path, String::as_str, wanted, |file, path| {
            !self.takes(wanted, path, Kind::File) || found(file)
        });
    }
}

fn change_path(change: &Change) -> &str {
    &change.path
}

/// The changes of a path, and of what stood or stands in the place of a folder that it is in: a link, or a submodule.
fn on_the_way<'c>(changes: &'c [Change], path: &str) -> impl Iterator<Item = &'c str> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let parts: Vec<&str> = ends.filter_map(|end| path.get(..end)).collect();
    parts.into_iter().filter_map(|part| {
        let at = changes.binary_search_by(|change| change.path.as_str().cmp(part));
        at.ok().map(|at| changes[at].path.as_str())
    })
}

/// Whether a path is a folder's own, or below it.
fn is_in(folder: &str, path: &str) -> bool {
    within(folder, path).is_some()
}

#[cfg(test)]
mod tests;
