//! The root of a source: its path up to the first wildcard, and the pattern below it.

use crate::glob::{self, Glob};
use crate::ignore::clean;
use crate::tree::within;

/// A path, and a pattern below it. They are split where BuildKit does (`splitWildcards` in cache/contenthash/checksum.go),
/// which follows symbolic links in the path only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRoot {
    /// "" for the context itself.
    pub path: String,
    /// "" if there is no wildcard.
    pub pattern: String,
    pub globs: RootPattern,
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootPattern {
    /// One pattern for each component of a path.
    Components(Vec<Glob>),
    /// One pattern for the whole path, because a character class may match or contains a `/`.
    Path(Glob),
    /// A malformed pattern, which matches nothing.
    Invalid,
}

impl SourceRoot {
    /// Creates the root of a source, which is cleaned relative to the context's root: `..` cannot leave it.
    pub fn new(source: &str) -> SourceRoot {
        let cleaned = clean(&format!("/{source}"));
        let parts: Vec<&str> = cleaned.split('/').filter(|part| !part.is_empty()).collect();
        let literal = parts
            .iter()
            .position(|part| glob::has_wildcards(part))
            .unwrap_or(parts.len());
        let (path, pattern) = parts.split_at(literal);
        SourceRoot::from_parts(path.join("/"), pattern.join("/"))
    }

    pub fn from_parts(path: String, pattern: String) -> SourceRoot {
        let globs = match Glob::new(&pattern) {
            None => RootPattern::Invalid,
            Some(glob) if glob.crosses_directories() => RootPattern::Path(glob),
            Some(glob) => {
                let parts = pattern.split('/').filter(|part| !part.is_empty());
                // A component is malformed if a class contains a slash, as in [^/].
                parts
                    .map(Glob::new)
                    .collect::<Option<_>>()
                    .map_or(RootPattern::Path(glob), RootPattern::Components)
            }
        };
        SourceRoot { path, pattern, globs }
    }

    /// Returns the part of a path below its first parent that this matches; "" if it matches the path itself.
    pub fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = within(&self.path, path)?;
        match &self.globs {
            RootPattern::Invalid => None,
            RootPattern::Components(globs) => {
                let mut rest = below;
                for glob in globs {
                    let (part, after) = rest.split_once('/').unwrap_or((rest, ""));
                    if part.is_empty() || !glob.matches(part) {
                        return None;
                    }
                    rest = after;
                }
                Some(rest)
            }
            RootPattern::Path(glob) => {
                let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
                ends.filter_map(|end| Some((below.get(..end)?, below.get(end..)?)))
                    .find(|(dir, _)| !dir.is_empty() && glob.matches(dir))
                    .map(|(_, rest)| rest.strip_prefix('/').unwrap_or(rest))
            }
        }
    }

    /// Returns whether this is the path or below it. A changed file at such a path is or was a link, or in place of a
    /// directory. Wildcards pass only directories.
    pub fn is_below(&self, path: &str) -> bool {
        within(path, &self.path).is_some()
    }

    /// Returns whether paths that this matches may be below a path.
    pub fn may_be_below(&self, path: &str) -> bool {
        if self.is_below(path) {
            return true;
        }
        let Some(below) = within(&self.path, path) else {
            return false;
        };
        match &self.globs {
            RootPattern::Invalid => false,
            RootPattern::Components(globs) => {
                let mut globs = globs.iter();
                below
                    .split('/')
                    .all(|part| globs.next().is_some_and(|glob| glob.matches(part)))
            }
            RootPattern::Path(_) => true,
        }
    }
}
