//! Where a source starts.

use crate::glob::{self, Glob};
use crate::ignore::clean;

/// A path, or a pattern below one, cut where BuildKit cuts it (`splitWildcards` in cache/contenthash/checksum.go): it
/// follows links up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// "" for the context itself.
    pub path: String,
    /// "" where there is no wildcard.
    pub pattern: String,
    pub globs: Globs,
}

/// A pattern, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Globs {
    /// For each part of a path one.
    Parts(Vec<Glob>),
    /// A class in it may match a `/`, or holds one: then its parts are not those of a path.
    Whole(Glob),
    /// Malformed.
    Nothing,
}

impl Root {
    /// Cleaned as from the root of the context, which `..` does not leave.
    pub fn new(source: &str) -> Root {
        let cleaned = clean(&format!("/{source}"));
        let parts: Vec<&str> = cleaned.split('/').filter(|part| !part.is_empty()).collect();
        let literal = parts
            .iter()
            .position(|part| glob::has_wildcards(part))
            .unwrap_or(parts.len());
        let (path, pattern) = parts.split_at(literal);
        Root::of(path.join("/"), pattern.join("/"))
    }

    pub fn of(path: String, pattern: String) -> Root {
        let globs = match Glob::new(&pattern) {
            None => Globs::Nothing,
            Some(glob) if glob.crosses_directories() => Globs::Whole(glob),
            Some(glob) => {
                let parts = pattern.split('/').filter(|part| !part.is_empty());
                // They are malformed where a class has a slash in it, as [^/].
                parts
                    .map(Glob::new)
                    .collect::<Option<_>>()
                    .map_or(Globs::Whole(glob), Globs::Parts)
            }
        };
        Root { path, pattern, globs }
    }

    /// What is left of a path below the first directory of it that this names or matches.
    pub fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = below(path, &self.path)?;
        match &self.globs {
            Globs::Nothing => None,
            Globs::Parts(globs) => {
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
            Globs::Whole(glob) => {
                let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
                ends.filter_map(|end| Some((below.get(..end)?, below.get(end..)?)))
                    .find(|(dir, _)| !dir.is_empty() && glob.matches(dir))
                    .map(|(_, rest)| rest.strip_prefix('/').unwrap_or(rest))
            }
        }
    }

    /// Whether a path is on the way to what this names: a file there is, or was, a link or in place of a directory. On
    /// the way by wildcards there are only directories.
    pub fn is_led_to_by(&self, path: &str) -> bool {
        below(&self.path, path).is_some()
    }

    /// Whether what this names or matches may be below a path.
    pub fn may_be_below(&self, path: &str) -> bool {
        if self.is_led_to_by(path) {
            return true;
        }
        let Some(below) = below(path, &self.path) else {
            return false;
        };
        match &self.globs {
            Globs::Nothing => false,
            Globs::Parts(globs) => {
                let mut globs = globs.iter();
                below
                    .split('/')
                    .all(|part| globs.next().is_some_and(|glob| glob.matches(part)))
            }
            Globs::Whole(_) => true,
        }
    }
}

/// The part of a path below a directory: "" for the directory itself.
pub fn below<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    if dir.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(dir)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}
