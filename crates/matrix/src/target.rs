//! Targets: the builds that a bake definition or the Dockerfiles of a repository define.

use std::collections::{BTreeMap, BTreeSet};

/// A bake target: one build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// As written: relative to the working directory, absolute, or remote.
    pub context: String,
    /// As written: relative to the context.
    pub dockerfile: String,
    /// The text of the Dockerfile, if the definition contains it.
    pub inline: Option<String>,
    /// Named contexts by name: a directory, `target:NAME`, `docker-image://…` and so on.
    pub contexts: BTreeMap<String, String>,
    /// Build arguments. buildx does not pass on arguments without a value.
    pub args: BTreeMap<String, String>,
    pub stage: Option<String>,
    pub platforms: Vec<String>,
    pub tags: Vec<String>,
}

impl Target {
    /// Returns the targets that named contexts link to, each once.
    pub fn links(&self) -> BTreeSet<&str> {
        self.contexts
            .values()
            .filter_map(|value| linked_target(value))
            .collect()
    }
}

/// Returns the name of the target that a named context links to.
pub(crate) fn linked_target(context: &str) -> Option<&str> {
    context.strip_prefix("target:")
}

/// The targets of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// All targets by name.
    pub all: BTreeMap<String, Target>,
    /// The names of the requested targets. Other targets are only linked to.
    pub selected: BTreeSet<String>,
}

impl Targets {
    /// Returns a cycle of links, if there is one: its targets cannot be built in any order.
    pub fn find_cycle(&self) -> Option<Vec<&str>> {
        let mut remaining: BTreeMap<&str, BTreeSet<&str>> = self
            .all
            .iter()
            .map(|(name, target)| (name.as_str(), target.links()))
            .collect();
        // Remove targets that link to no remaining target, until every remaining target links to another one. Then
        // following links from any of them ends in a cycle.
        loop {
            let before = remaining.len();
            let names: BTreeSet<&str> = remaining.keys().copied().collect();
            remaining.retain(|_, links| links.iter().any(|link| names.contains(link)));
            if remaining.len() == before {
                break;
            }
        }
        let mut chain = vec![*remaining.keys().next()?];
        loop {
            let last = chain.last()?;
            let next = *remaining
                .get(last)?
                .iter()
                .find(|link| remaining.contains_key(*link))?;
            if let Some(at) = chain.iter().position(|name| *name == next) {
                chain.drain(..at);
                chain.push(next);
                return Some(chain);
            }
            chain.push(next);
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
    fn a_cycle_is_returned_with_its_first_target_at_both_ends() {
        let fine = targets(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["elsewhere"])]);
        assert_eq!(fine.find_cycle(), None);
        let itself = targets(&[("a", &["a"])]);
        assert_eq!(itself.find_cycle(), Some(vec!["a", "a"]));
        let far = targets(&[("a", &["b"]), ("b", &["c"]), ("c", &["d"]), ("d", &["b"])]);
        assert_eq!(far.find_cycle(), Some(vec!["b", "c", "d", "b"]));
    }

    #[test]
    fn only_target_contexts_are_links() {
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
