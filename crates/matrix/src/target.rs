//! What there is to build, wherever that was said.

use std::collections::{BTreeMap, BTreeSet};

/// A target as bake knows it: one build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// As written: relative to the working folder, absolute, or remote.
    pub context: String,
    /// As written: relative to the context.
    pub dockerfile: String,
    /// The Dockerfile itself, in its place.
    pub inline: Option<String>,
    /// Named contexts: a folder, `target:NAME`, `docker-image://…` and so on, by their names.
    pub contexts: BTreeMap<String, String>,
    /// Build arguments that are given. One without a value is not passed on by buildx.
    pub args: BTreeMap<String, String>,
    pub stage: Option<String>,
    pub platforms: Vec<String>,
    pub tags: Vec<String>,
}

impl Target {
    /// The targets that named contexts link to, each once.
    pub fn links(&self) -> BTreeSet<&str> {
        self.contexts.values().filter_map(|value| linked(value)).collect()
    }
}

/// The name of the target that a named context is.
pub fn linked(context: &str) -> Option<&str> {
    context.strip_prefix("target:")
}

/// Targets by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    pub all: BTreeMap<String, Target>,
    /// Those that are asked for, in the order of their names; others are only linked to.
    pub selected: BTreeSet<String>,
}

impl Targets {
    /// A chain of links that leads back to its beginning, if there is one: no order of builds serves it.
    pub fn cycle(&self) -> Option<Vec<&str>> {
        let mut left: BTreeMap<&str, BTreeSet<&str>> = self
            .all
            .iter()
            .map(|(name, target)| (name.as_str(), target.links()))
            .collect();
        // What links to nothing that is left is not part of a cycle; where all that is left links to something left, any
        // walk comes back to where it was.
        loop {
            let before = left.len();
            let names: BTreeSet<&str> = left.keys().copied().collect();
            left.retain(|_, links| links.iter().any(|link| names.contains(link)));
            if left.len() == before {
                break;
            }
        }
        let mut walk = vec![*left.keys().next()?];
        loop {
            let last = walk.last()?;
            let next = *left.get(last)?.iter().find(|link| left.contains_key(*link))?;
            if let Some(at) = walk.iter().position(|name| *name == next) {
                walk.drain(..at);
                walk.push(next);
                return Some(walk);
            }
            walk.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(links: &[(&str, &[&str])]) -> Targets {
        let target = |links: &[&str]| Target {
            contexts: links
                .iter()
                .map(|link| ((*link).to_owned(), format!("target:{link}")))
                .collect(),
            ..Target::default()
        };
        Targets {
            all: links
                .iter()
                .map(|(name, links)| ((*name).to_owned(), target(links)))
                .collect(),
            selected: BTreeSet::new(),
        }
    }

    #[test]
    fn a_cycle_is_named_from_its_beginning_to_its_beginning() {
        let fine = targets(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["elsewhere"])]);
        assert_eq!(fine.cycle(), None);
        let itself = targets(&[("a", &["a"])]);
        assert_eq!(itself.cycle(), Some(vec!["a", "a"]));
        let far = targets(&[("a", &["b"]), ("b", &["c"]), ("c", &["d"]), ("d", &["b"])]);
        assert_eq!(far.cycle(), Some(vec!["b", "c", "d", "b"]));
    }

    #[test]
    fn links_are_targets_and_nothing_else() {
        let target = Target {
            contexts: [
                ("a", "target:x"),
                ("b", "target:x"),
                ("c", "./target:y"),
                ("d", "docker-image://z"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
            ..Target::default()
        };
        assert_eq!(target.links(), BTreeSet::from(["x"]));
    }
}
