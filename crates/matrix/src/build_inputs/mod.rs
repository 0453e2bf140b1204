//! The inputs of a target: paths of the repository that its build reads.
//!
//! They are its Dockerfile and ignore files, the paths that the stages it needs read from its context and named contexts,
//! and the targets that it links to. Where the inputs cannot be determined, the reason is recorded, and the target is
//! always built.

mod collect;
mod scan;
mod uncertainty;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::changes::{Change, ChangeKind};
use super::dockerfile::SourcePaths;
use super::ignore::Dockerignore;
use super::tree::{FileTree, within};

pub use collect::{RepositoryFiles, collect};
pub use uncertainty::{DockerfileFault, Uncertainty};

/// What a file is to a target regardless of what is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileRole {
    Dockerfile,
    /// A .dockerignore that filters what is copied. A change in it counts as a change of what is copied.
    Dockerignore,
    /// A symbolic link in the path of another input.
    Link,
    /// A policy that buildx finds beside the Dockerfile.
    Policy,
}

/// The inputs of a target.
#[derive(Debug, Clone, Default)]
pub struct BuildInputs {
    files: BTreeMap<String, FileRole>,
    contexts: Vec<ContextInputs>,
    /// Targets whose results it uses.
    pub linked: BTreeSet<String>,
    /// The reason why there may be more inputs than these.
    pub uncertain_because: Option<Uncertainty>,
    /// The error of a Dockerfile that cannot be parsed.
    pub fault: Option<DockerfileFault>,
}

/// The inputs from one context.
#[derive(Debug, Clone)]
struct ContextInputs {
    path: String,
    ignore: Arc<ContextIgnore>,
    scopes: Vec<ResolvedScope>,
}

/// What one instruction reads from a context, after symbolic links were followed.
#[derive(Debug, Clone)]
enum ResolvedScope {
    All,
    Paths(SourcePaths),
}

/// The .dockerignore of a context.
#[derive(Debug, Clone)]
struct ContextIgnore {
    dockerignore: Dockerignore,
    /// Whether an exception (`!`) may keep files below an ignored directory.
    has_exceptions: bool,
}

impl ContextIgnore {
    fn parse(text: &str) -> Self {
        Self {
            dockerignore: Dockerignore::parse(text),
            has_exceptions: text.lines().any(|line| line.trim_start().starts_with('!')),
        }
    }

    fn ignores(&self, path: &str, kind: ChangeKind) -> bool {
        match kind {
            ChangeKind::Edited | ChangeKind::File | ChangeKind::Directory => self.dockerignore.ignores(path),
            ChangeKind::Submodule => !self.has_exceptions && self.dockerignore.ignores(path),
        }
    }
}

/// The inputs of a target that a change modifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedInputs {
    /// The first path.
    pub path: String,
    pub role: Option<FileRole>,
    /// The number of other paths, counted up to [`MAX_COUNTED`].
    pub more: usize,
}

/// The most changed inputs that are counted. A higher number would not help a reader.
pub(crate) const MAX_COUNTED: usize = 99;

impl BuildInputs {
    /// Returns which of the target's own inputs the changes modify; inputs of linked targets are not considered. The
    /// changes must be sorted.
    pub(crate) fn changed_inputs(&self, changes: &[Change]) -> Option<ChangedInputs> {
        let mut found: BTreeMap<&str, Option<FileRole>> = BTreeMap::new();
        for (file, role) in &self.files {
            for change in changes_along(changes, file) {
                found.insert(change, Some(*role));
            }
        }
        for context in &self.contexts {
            if !context.path.is_empty() {
                for change in changes_along(changes, &context.path) {
                    found.entry(change).or_default();
                }
            }
            for scope in &context.scopes {
                scan::for_each_candidate(changes, &context.path, change_path, scope, |change, path| {
                    if context.contains(scope, path, change.kind) {
                        found.entry(&change.path).or_default();
                    }
                    found.len() <= MAX_COUNTED
                });
            }
        }
        // Directories are shown only if no file is the more specific reason.
        let is_directory = |path: &str| {
            let at = changes.binary_search_by(|change| change.path.as_str().cmp(path));
            at.is_ok_and(|at| changes[at].kind == ChangeKind::Directory)
        };
        if found.keys().any(|path| !is_directory(path)) {
            found.retain(|path, _| !is_directory(path));
        }
        let more = found.len().saturating_sub(1).min(MAX_COUNTED);
        let (path, role) = found.into_iter().next()?;
        Some(ChangedInputs {
            path: path.to_owned(),
            role,
            more,
        })
    }

    /// Returns the files of the tree that are the target's own inputs.
    pub fn files<'t>(&self, tree: &'t FileTree) -> BTreeSet<&'t str> {
        let mut found = BTreeSet::new();
        let own = tree.files().iter().filter(|file| self.files.contains_key(*file));
        found.extend(own.map(String::as_str));
        for context in &self.contexts {
            for scope in &context.scopes {
                context.for_each_file(tree, scope, |file| {
                    found.insert(file);
                    true
                });
            }
        }
        found
    }
}

impl ContextInputs {
    fn contains(&self, scope: &ResolvedScope, path: &str, kind: ChangeKind) -> bool {
        let is_read = match (scope, kind) {
            (ResolvedScope::All, _) => true,
            (ResolvedScope::Paths(sources), ChangeKind::Submodule) => {
                sources.matches(path) || sources.may_match_below(path)
            }
            (ResolvedScope::Paths(sources), _) => sources.matches(path),
        };
        is_read && !self.ignore.ignores(path, kind)
    }

    /// Calls the function for each file of the tree that is read, until it returns false.
    fn for_each_file<'t>(
        &self,
        tree: &'t FileTree,
        scope: &ResolvedScope,
        mut found: impl FnMut(&'t str) -> bool,
    ) {
        scan::for_each_candidate(tree.files(), &self.path, String::as_str, scope, |file, path| {
            !self.contains(scope, path, ChangeKind::File) || found(file)
        });
    }
}

fn change_path(change: &Change) -> &str {
    &change.path
}

/// Returns the changes of a path and of its parents: a parent that is or was a symbolic link or a submodule.
fn changes_along<'c>(changes: &'c [Change], path: &str) -> impl Iterator<Item = &'c str> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let prefixes: Vec<&str> = ends.filter_map(|end| path.get(..end)).collect();
    prefixes.into_iter().filter_map(|prefix| {
        let at = changes.binary_search_by(|change| change.path.as_str().cmp(prefix));
        at.ok().map(|at| changes[at].path.as_str())
    })
}

/// Returns whether a path is the directory itself, or below it.
fn is_in(dir: &str, path: &str) -> bool {
    within(dir, path).is_some()
}

#[cfg(test)]
mod tests;
