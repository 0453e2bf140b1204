//! Which targets are built, and why.

use std::collections::{BTreeMap, VecDeque};

use super::changes::Change;
use super::definition::Definition;
use super::parts::{Parts, Touch};
use super::target::Targets;
use super::tree::within;

/// What is to be built of what there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of their names.
    pub rows: Vec<Row>,
    /// Why all are built, whatever they are made of.
    pub everything: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub target: String,
    /// Why it is built; it is skipped without.
    pub built: Option<Why>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The plan says why.
    Everything,
    Touched(Touch),
    /// What it is made of cannot be known, for this reason.
    Unknown(String),
    /// A target that it links to, and why that one is another than before.
    Linked(String, Box<Why>),
}

/// What changes how everything is built: the folders of workflows and of actions that they use.
const WORKFLOWS: [&str; 2] = [".github/workflows", ".github/actions"];

/// Why everything is built all the same, when it is: a change that may change how.
pub fn everything(changes: &[Change], definition: &Definition) -> Option<String> {
    if let Some(doubt) = &definition.doubt {
        return Some(doubt.clone());
    }
    changes.iter().find_map(|change| {
        let path = &change.path;
        let around = |other: &str| within(other, path).is_some() || within(path, other).is_some();
        if let Some(folder) = WORKFLOWS.into_iter().find(|folder| around(folder)) {
            return Some(format!(
                "{path} changed, and what is in {folder} may change how all is built"
            ));
        }
        let file = definition
            .files
            .iter()
            .find(|file| within(path, file).is_some())?;
        Some(format!(
            "{file} changed, which says what there is to build and how"
        ))
    })
}

impl Plan {
    /// All of them.
    pub fn everything(targets: &Targets, reason: String) -> Self {
        let row = |target: &String| Row {
            target: target.clone(),
            built: Some(Why::Everything),
        };
        Self {
            rows: targets.selected.iter().map(row).collect(),
            everything: Some(reason),
        }
    }

    /// Those that a change goes into, and those that link to one of them. The changes are in order.
    pub fn of(targets: &Targets, parts: &BTreeMap<String, Parts>, changes: &[Change]) -> Self {
        let mut whys: BTreeMap<&str, Why> = BTreeMap::new();
        let mut linking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, parts) in parts {
            // A change that is known says more than what is not.
            let touched = parts.touched(changes).map(Why::Touched);
            let unknown = || parts.unknown.clone().map(Why::Unknown);
            if let Some(why) = touched.or_else(unknown) {
                whys.insert(name, why);
            }
            for linked in &parts.linked {
                linking.entry(linked).or_default().push(name);
            }
        }
        // Each is looked at once, so that a cycle ends.
        let mut next: VecDeque<&str> = whys.keys().copied().collect();
        while let Some(name) = next.pop_front() {
            let Some(why) = whys.get(name).cloned() else {
                continue;
            };
            let why = match why {
                Why::Linked(_, root) => root,
                own => Box::new(own),
            };
            for parent in linking.get(name).into_iter().flatten() {
                if !whys.contains_key(parent) {
                    whys.insert(parent, Why::Linked(name.to_owned(), why.clone()));
                    next.push_back(parent);
                }
            }
        }
        let row = |target: &String| Row {
            target: target.clone(),
            built: whys.get(target.as_str()).cloned(),
        };
        Self {
            rows: targets.selected.iter().map(row).collect(),
            everything: None,
        }
    }

    /// The names of what is built, in order.
    pub fn built(&self) -> Vec<&str> {
        let built = self.rows.iter().filter(|row| row.built.is_some());
        built.map(|row| row.target.as_str()).collect()
    }
}

/// A target and all that it links to, itself first, each once.
pub fn with_links<'a>(target: &'a str, parts: &'a BTreeMap<String, Parts>) -> Vec<&'a str> {
    let mut found = vec![target];
    let mut next = 0;
    while let Some(name) = found.get(next) {
        for linked in parts.get(*name).into_iter().flat_map(|parts| &parts.linked) {
            if !found.contains(&linked.as_str()) {
                found.push(linked);
            }
        }
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::changes::Kind;
    use crate::target::Target;

    fn changes(paths: &[&str]) -> Vec<Change> {
        let change = |path: &&str| Change {
            path: (*path).to_owned(),
            kind: Kind::File,
        };
        paths.iter().map(change).collect()
    }

    /// Targets that link to others, and are unknown where it says why.
    fn parts(all: &[(&str, &[&str], &str)]) -> (Targets, BTreeMap<String, Parts>) {
        let parts = all.iter().map(|(name, linked, unknown)| {
            let mut parts = Parts::default();
            parts.linked = linked.iter().map(|name| (*name).to_owned()).collect();
            parts.unknown = Some((*unknown).to_owned()).filter(|why| !why.is_empty());
            ((*name).to_owned(), parts)
        });
        let names: BTreeSet<String> = all.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let targets = Targets {
            all: names
                .iter()
                .map(|name| (name.clone(), Target::default()))
                .collect(),
            selected: names.iter().filter(|name| *name != "hidden").cloned().collect(),
        };
        (targets, parts.collect())
    }

    #[test]
    fn what_links_to_a_target_that_is_built_is_built_for_the_same_reason() {
        let (targets, parts) = parts(&[
            ("api", &["base"], ""),
            ("base", &["hidden"], ""),
            ("hidden", &[], "it is remote"),
            ("web", &[], ""),
        ]);
        let plan = Plan::of(&targets, &parts, &[]);
        assert_eq!(plan.built(), ["api", "base"]);
        let root = || Box::new(Why::Unknown("it is remote".into()));
        let whys: Vec<Option<Why>> = plan.rows.into_iter().map(|row| row.built).collect();
        assert_eq!(
            whys,
            [
                Some(Why::Linked("base".into(), root())),
                Some(Why::Linked("hidden".into(), root())),
                None
            ]
        );
        assert_eq!(with_links("api", &parts), ["api", "base", "hidden"]);
    }

    #[test]
    fn a_cycle_ends() {
        let (targets, circle) = parts(&[("a", &["b"], ""), ("b", &["a", "c"], ""), ("c", &["a"], "x")]);
        assert_eq!(Plan::of(&targets, &circle, &[]).built(), ["a", "b", "c"]);
        assert_eq!(with_links("a", &circle), ["a", "b", "c"]);
        let (targets, untouched) = parts(&[("a", &["a", "b"], ""), ("b", &["a"], "")]);
        assert_eq!(Plan::of(&targets, &untouched, &[]).built(), [""; 0]);
    }

    #[test]
    fn workflows_and_bake_files_change_everything() {
        let definition = Definition {
            files: BTreeSet::from(["deploy/docker-bake.hcl".to_owned()]),
            doubt: None,
        };
        for (path, everything) in [
            (".github/workflows/ci.yml", true),
            (".github/actions/setup/action.yml", true),
            (".github", true),
            (".github/dependabot.yml", false),
            ("deploy/docker-bake.hcl", true),
            // It was a link, or is one.
            ("deploy", true),
            ("docker-bake.hcl", false),
        ] {
            let reason = super::everything(&changes(&["a", path]), &definition);
            assert_eq!(reason.is_some(), everything, "{path}: {reason:?}");
        }
        let doubtful = Definition {
            doubt: Some("for a reason".into()),
            ..definition
        };
        assert_eq!(super::everything(&[], &doubtful).as_deref(), Some("for a reason"));
    }
}
