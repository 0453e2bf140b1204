//! Which files the sources of an instruction take.

mod links;
mod root;

use std::collections::BTreeMap;
use std::fmt;

use super::What;
use super::instruction::Copy;
use crate::ignore::{Patterns, clean};
use root::{Globs, Root, below};

/// The sources of one COPY or ADD, or of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources(Vec<Taken>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    root: Root,
    /// What `--parents` takes of it; everything when there is none.
    included: Option<Patterns>,
    /// What `--exclude` leaves out.
    excluded: Option<Patterns>,
}

impl Sources {
    /// Of COPY or ADD, its variables replaced, URLs left out.
    pub(super) fn of_copy(copy: &Copy, sources: &[String]) -> What {
        // BuildKit refuses a malformed --exclude: then nothing is left out.
        let excluded = Patterns::new(&copy.excludes).filter(|patterns| !patterns.is_empty());
        let mut taken = Vec::new();
        for source in sources {
            let (root, included) = match source.split_once("/./") {
                _ if !copy.parents => (source.as_str(), None),
                Some((parent, pattern)) => (parent, Some(pattern)),
                None => ("", Some(source.as_str())),
            };
            let root = Root::new(root);
            let included = match included.map(|pattern| clean(&format!("/{pattern}"))) {
                // One that is malformed makes the build fail, and takes everything here.
                Some(pattern) if pattern != "/" => Patterns::new([&pattern[1..]]),
                _ => None,
            };
            if root.globs == Globs::Nothing {
                return What::All("a source is not a valid pattern");
            }
            if root == Root::new("") && included.is_none() && excluded.is_none() {
                return What::All("the whole context is copied");
            }
            taken.push(Taken {
                root,
                included,
                excluded: excluded.clone(),
            });
        }
        What::Paths(Sources(taken))
    }

    /// Of a mount: a path, without wildcards.
    pub(super) fn of_mount(source: &str) -> What {
        let path = clean(&format!("/{source}"));
        if path == "/" {
            return What::All("the whole context is mounted");
        }
        What::Paths(Sources(vec![Taken::all(Root::of(
            path[1..].into(),
            String::new(),
        ))]))
    }

    /// The paths, up to the first wildcard, below which all lies that is taken, but for what is in their way.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|taken| taken.root.path.as_str())
    }

    /// The same paths but for the context itself, as sources: where one is not there, the build fails or takes nothing.
    pub fn places(&self) -> impl Iterator<Item = Sources> {
        let paths = self.0.iter().map(|taken| &taken.root.path);
        paths
            .filter(|path| !path.is_empty())
            .map(|path| Sources(vec![Taken::all(Root::of(path.clone(), String::new()))]))
    }

    /// Whether a file of the context is read when it is at this path: for a path that changed, also whether what stands
    /// there now, or stood there, is on the way to a source.
    pub fn takes(&self, path: &str) -> bool {
        self.0.iter().any(|taken| taken.takes(path))
    }

    /// Whether something below a directory may be read. Does not look at `--exclude`.
    pub fn may_take_below(&self, dir: &str) -> bool {
        self.0.iter().any(|taken| taken.may_take_below(dir))
    }

    /// With what the sources reach through symbolic links of the context, given by path and text. The links count as
    /// well. BuildKit follows them in the path of a source and at its end, not those inside of a directory.
    pub fn resolved(&self, links: &BTreeMap<String, String>) -> Sources {
        if links.is_empty() {
            return self.clone();
        }
        let more = |taken: &Taken| {
            let reached = links::reached(&taken.root, links);
            let through = |root| Taken {
                root,
                ..taken.clone()
            };
            let passed = |path| Taken::all(Root::of(path, String::new()));
            let more: Vec<Taken> = reached
                .roots
                .into_iter()
                .map(through)
                .chain(reached.links.into_iter().map(passed))
                .collect();
            more
        };
        Sources(
            self.0
                .iter()
                .cloned()
                .chain(self.0.iter().flat_map(more))
                .collect(),
        )
    }
}

/// `a/b, c/*.go, d without *.md`: paths from the context's root, with what `--parents` takes of them.
impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, taken) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            taken.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Taken {
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

impl Taken {
    fn all(root: Root) -> Taken {
        Taken {
            root,
            included: None,
            excluded: None,
        }
    }

    fn takes(&self, path: &str) -> bool {
        let Some(rest) = self.root.rest(path) else {
            return self.root.is_led_to_by(path);
        };
        // A source that is a file itself is not asked for.
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

    fn may_take_below(&self, dir: &str) -> bool {
        let Some(rest) = self.root.rest(dir) else {
            return self.root.may_be_below(dir);
        };
        let related = |parent: &str| below(rest, parent).is_some() || below(parent, rest).is_some();
        self.included
            .as_ref()
            .is_none_or(|patterns| patterns.literal_parents().any(related))
    }
}

#[cfg(test)]
mod tests;
