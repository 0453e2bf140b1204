//! Matches paths of a context with the sources of an instruction.

mod links;
mod root;

use std::collections::BTreeMap;
use std::fmt;

use super::Scope;
use super::instruction::CopyInstruction;
use crate::ignore::{PatternList, clean};
use crate::tree::within;
use root::{RootPattern, SourceRoot};

/// The sources of one COPY or ADD, or of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePaths(Vec<SourcePath>);

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SourcePath {
    root: SourceRoot,
    /// The pattern of `--parents`; everything below the root if there is none.
    included: Option<PatternList>,
    /// The patterns of `--exclude`.
    excluded: Option<PatternList>,
}

impl SourcePaths {
    /// Returns what COPY or ADD reads, from its sources with variables expanded and without URLs.
    pub(super) fn from_copy(copy: &CopyInstruction, sources: &[String]) -> Scope {
        // BuildKit rejects a malformed --exclude, so nothing is excluded here.
        let excluded = PatternList::new(&copy.excludes).filter(|patterns| !patterns.is_empty());
        let mut paths = Vec::new();
        for source in sources {
            let (root, included) = match source.split_once("/./") {
                _ if !copy.parents => (source.as_str(), None),
                Some((parent, pattern)) => (parent, Some(pattern)),
                None => ("", Some(source.as_str())),
            };
            let root = SourceRoot::new(root);
            let included = match included.map(|pattern| clean(&format!("/{pattern}"))) {
                // A malformed pattern fails the build, so everything counts as read here.
                Some(pattern) if pattern != "/" => PatternList::new([&pattern[1..]]),
                _ => None,
            };
            if root.globs == RootPattern::Invalid {
                return Scope::All("a source is not a valid pattern");
            }
            if root == SourceRoot::new("") && included.is_none() && excluded.is_none() {
                return Scope::All("the whole context is copied");
            }
            paths.push(SourcePath {
                root,
                included,
                excluded: excluded.clone(),
            });
        }
        Scope::Paths(SourcePaths(paths))
    }

    /// Returns what a mount reads: a path, without wildcards.
    pub(super) fn from_mount(source: &str) -> Scope {
        let path = clean(&format!("/{source}"));
        if path == "/" {
            return Scope::All("the whole context is mounted");
        }
        Scope::Paths(SourcePaths(vec![SourcePath::all(SourceRoot::from_parts(
            path[1..].into(),
            String::new(),
        ))]))
    }

    /// Returns the path of each source up to its first wildcard. All paths that match are below these, or are a parent of
    /// one that changed.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|paths| paths.root.path.as_str())
    }

    /// Returns the same paths as sources, without the context itself. If one does not exist, the build fails or copies
    /// nothing.
    pub fn root_paths(&self) -> impl Iterator<Item = SourcePaths> {
        let paths = self.0.iter().map(|paths| &paths.root.path);
        paths.filter(|path| !path.is_empty()).map(|path| {
            SourcePaths(vec![SourcePath::all(SourceRoot::from_parts(
                path.clone(),
                String::new(),
            ))])
        })
    }

    /// Returns whether the path is read. A parent of a source also matches: if such a path changed, it is or was a file or
    /// a link in place of a directory.
    pub fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|paths| paths.matches(path))
    }

    /// Returns whether a path below a directory may be read. Ignores `--exclude`.
    pub fn may_match_below(&self, dir: &str) -> bool {
        self.0.iter().any(|paths| paths.may_match_below(dir))
    }

    /// Returns the sources together with the paths that they reach through the context's symbolic links (target by path),
    /// and the links themselves. BuildKit follows links in the path of a source and at its end, but not links inside a
    /// copied directory.
    pub fn with_links_followed(&self, links: &BTreeMap<String, String>) -> SourcePaths {
        if links.is_empty() {
            return self.clone();
        }
        let more = |paths: &SourcePath| {
            let followed = links::follow(&paths.root, links);
            let through = |root| SourcePath {
                root,
                ..paths.clone()
            };
            let passed = |path| SourcePath::all(SourceRoot::from_parts(path, String::new()));
            let more: Vec<SourcePath> = followed
                .roots
                .into_iter()
                .map(through)
                .chain(followed.links.into_iter().map(passed))
                .collect();
            more
        };
        SourcePaths(
            self.0
                .iter()
                .cloned()
                .chain(self.0.iter().flat_map(more))
                .collect(),
        )
    }
}

/// Formats the sources as `a/b, c/*.go, d without *.md`: paths from the context's root, with the pattern of `--parents`.
impl fmt::Display for SourcePaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, paths) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            paths.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.root.path.as_str(), self.root.pattern.as_str()) {
            ("", "") => f.write_str(".")?,
            (path, "") => f.write_str(path)?,
            ("", pattern) => f.write_str(pattern)?,
            (path, pattern) => write!(f, "{path}/{pattern}")?,
        }
        for (word, patterns) in [("with", &self.included), ("without", &self.excluded)] {
            if let Some(patterns) = patterns {
                write!(f, " {word} {patterns}")?;
            }
        }
        Ok(())
    }
}

impl SourcePath {
    fn all(root: SourceRoot) -> SourcePath {
        SourcePath {
            root,
            included: None,
            excluded: None,
        }
    }

    fn matches(&self, path: &str) -> bool {
        let Some(rest) = self.root.rest(path) else {
            return self.root.is_below(path);
        };
        // `--parents` and `--exclude` do not apply to a source that is a file itself.
        rest.is_empty()
            || (self
                .included
                .as_ref()
                .is_none_or(|patterns| patterns.matches(rest, true))
                && !self
                    .excluded
                    .as_ref()
                    .is_some_and(|patterns| patterns.matches(rest, false)))
    }

    fn may_match_below(&self, dir: &str) -> bool {
        let Some(rest) = self.root.rest(dir) else {
            return self.root.may_be_below(dir);
        };
        let related = |parent: &str| within(parent, rest).is_some() || within(rest, parent).is_some();
        self.included
            .as_ref()
            .is_none_or(|patterns| patterns.literal_parents().any(related))
    }
}

#[cfg(test)]
mod tests;
