//! Decides which targets to build, and records the reason of each.

use std::collections::{BTreeMap, VecDeque};

use super::build_inputs::{BuildInputs, ChangedInputs};
use super::changes::Change;
use super::definition::Definition;
use super::target::Targets;
use super::tree::within;

/// The decision for each selected target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// One row per selected target, sorted by name.
    pub rows: Vec<PlanRow>,
    /// The reason to build all targets regardless of their inputs, if there is one.
    pub build_all_because: Option<String>,
}

/// The decision for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    pub target: String,
    /// The reason to build the target; `None` skips it.
    pub reason: Option<BuildReason>,
}

/// The reason to build a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildReason {
    /// All targets are built; [`Plan::build_all_because`] has the reason.
    BuildAll,
    /// The change modifies inputs of the target.
    InputsChanged(ChangedInputs),
    /// The inputs of the target cannot be determined, because of this.
    Uncertain(String),
    /// A target that it links to is rebuilt: the name of that target, and the reason at the end of the chain of links.
    LinkedTarget(String, Box<BuildReason>),
}

/// Directories whose files may change how every target is built: workflows, and the actions that they use.
const WORKFLOW_DIRS: [&str; 2] = [".github/workflows", ".github/actions"];

/// Returns the reason to build all targets, if a change affects how targets are built and not only their inputs.
pub fn build_all_because(changes: &[Change], definition: &Definition) -> Option<String> {
    if let Some(reason) = &definition.uncertain_because {
        return Some(reason.clone());
    }
    changes.iter().find_map(|change| {
        let path = &change.path;
        let overlaps = |other: &str| within(other, path).is_some() || within(path, other).is_some();
        if let Some(dir) = WORKFLOW_DIRS.into_iter().find(|dir| overlaps(dir)) {
            return Some(format!(
                "{path} changed, and files in {dir} can change how every target is built"
            ));
        }
        let file = definition
            .files
            .iter()
            .find(|file| within(path, file).is_some())?;
        Some(format!("{file} changed, which defines the targets"))
    })
}

impl Plan {
    /// Returns the plan that builds all selected targets.
    pub fn build_all(targets: &Targets, reason: String) -> Self {
        let row = |target: &String| PlanRow {
            target: target.clone(),
            reason: Some(BuildReason::BuildAll),
        };
        Self {
            rows: targets.selected.iter().map(row).collect(),
            build_all_because: Some(reason),
        }
    }

    /// Returns the plan that builds the targets whose inputs changed, and the targets that link to one of those. The
    /// changes must be sorted.
    pub fn from_changes(
        targets: &Targets,
        inputs: &BTreeMap<String, BuildInputs>,
        changes: &[Change],
    ) -> Self {
        let mut reasons: BTreeMap<&str, BuildReason> = BTreeMap::new();
        let mut dependents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, inputs) in inputs {
            // A known change is the more specific reason.
            let changed = inputs.changed_inputs(changes).map(BuildReason::InputsChanged);
            let uncertain = || {
                inputs
                    .uncertain_because
                    .as_ref()
                    .map(|reason| BuildReason::Uncertain(reason.to_string()))
            };
            if let Some(reason) = changed.or_else(uncertain) {
                reasons.insert(name, reason);
            }
            for linked in &inputs.linked {
                dependents.entry(linked).or_default().push(name);
            }
        }
        // Each target is visited once, so a cycle of links terminates.
        let mut queue: VecDeque<&str> = reasons.keys().copied().collect();
        while let Some(name) = queue.pop_front() {
            let Some(reason) = reasons.get(name).cloned() else {
                continue;
            };
            let root = match reason {
                BuildReason::LinkedTarget(_, root) => root,
                own => Box::new(own),
            };
            for dependent in dependents.get(name).into_iter().flatten() {
                if !reasons.contains_key(dependent) {
                    let reason = BuildReason::LinkedTarget(name.to_owned(), root.clone());
                    reasons.insert(dependent, reason);
                    queue.push_back(dependent);
                }
            }
        }
        let row = |target: &String| PlanRow {
            target: target.clone(),
            reason: reasons.get(target.as_str()).cloned(),
        };
        Self {
            rows: targets.selected.iter().map(row).collect(),
            build_all_because: None,
        }
    }

    /// Returns the names of the targets to build, sorted.
    pub fn to_build(&self) -> Vec<&str> {
        let to_build = self.rows.iter().filter(|row| row.reason.is_some());
        to_build.map(|row| row.target.as_str()).collect()
    }
}

/// Returns a target and every target that it links to, directly or through others: the target first, each once.
pub fn with_linked_targets<'a>(target: &'a str, inputs: &'a BTreeMap<String, BuildInputs>) -> Vec<&'a str> {
    let mut found = vec![target];
    let mut next = 0;
    while let Some(name) = found.get(next) {
        for linked in inputs.get(*name).into_iter().flat_map(|inputs| &inputs.linked) {
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
    use crate::build_inputs::Uncertainty;
    use crate::changes::ChangeKind;
    use crate::target::Target;

    fn changes(paths: &[&str]) -> Vec<Change> {
        let change = |path: &&str| Change {
            path: (*path).to_owned(),
            kind: ChangeKind::File,
        };
        paths.iter().map(change).collect()
    }

    /// Returns targets with their links. The third text is the name of a missing Dockerfile, if it is not empty.
    fn inputs(all: &[(&str, &[&str], &str)]) -> (Targets, BTreeMap<String, BuildInputs>) {
        let inputs = all.iter().map(|(name, linked, missing)| {
            let mut inputs = BuildInputs::default();
            inputs.linked = linked.iter().map(|name| (*name).to_owned()).collect();
            inputs.uncertain_because =
                (!missing.is_empty()).then(|| Uncertainty::DockerfileMissing((*missing).to_owned()));
            ((*name).to_owned(), inputs)
        });
        let names: BTreeSet<String> = all.iter().map(|(name, ..)| (*name).to_owned()).collect();
        let targets = Targets {
            all: names
                .iter()
                .map(|name| (name.clone(), Target::default()))
                .collect(),
            selected: names.iter().filter(|name| *name != "hidden").cloned().collect(),
        };
        (targets, inputs.collect())
    }

    #[test]
    fn a_target_that_links_to_a_rebuilt_target_is_built_for_the_same_reason() {
        let (targets, inputs) = inputs(&[
            ("api", &["base"], ""),
            ("base", &["hidden"], ""),
            ("hidden", &[], "x"),
            ("web", &[], ""),
        ]);
        let plan = Plan::from_changes(&targets, &inputs, &[]);
        assert_eq!(plan.to_build(), ["api", "base"]);
        let root = || {
            Box::new(BuildReason::Uncertain(
                "its Dockerfile x is not in the repository".into(),
            ))
        };
        let reasons: Vec<Option<BuildReason>> = plan.rows.into_iter().map(|row| row.reason).collect();
        assert_eq!(
            reasons,
            [
                Some(BuildReason::LinkedTarget("base".into(), root())),
                Some(BuildReason::LinkedTarget("hidden".into(), root())),
                None
            ]
        );
        assert_eq!(with_linked_targets("api", &inputs), ["api", "base", "hidden"]);
    }

    #[test]
    fn a_cycle_of_links_terminates() {
        let (targets, cycle) = inputs(&[("a", &["b"], ""), ("b", &["a", "c"], ""), ("c", &["a"], "x")]);
        assert_eq!(
            Plan::from_changes(&targets, &cycle, &[]).to_build(),
            ["a", "b", "c"]
        );
        assert_eq!(with_linked_targets("a", &cycle), ["a", "b", "c"]);
        let (targets, untouched) = inputs(&[("a", &["a", "b"], ""), ("b", &["a"], "")]);
        assert_eq!(Plan::from_changes(&targets, &untouched, &[]).to_build(), [""; 0]);
    }

    #[test]
    fn a_change_to_workflows_or_bake_files_builds_all_targets() {
        let definition = Definition {
            files: BTreeSet::from(["deploy/docker-bake.hcl".to_owned()]),
            uncertain_because: None,
        };
        for (path, builds_all) in [
            (".github/workflows/ci.yml", true),
            (".github/actions/setup/action.yml", true),
            (".github", true),
            (".github/dependabot.yml", false),
            ("deploy/docker-bake.hcl", true),
            // The directory was a link, or is one now.
            ("deploy", true),
            ("docker-bake.hcl", false),
        ] {
            let reason = super::build_all_because(&changes(&["a", path]), &definition);
            assert_eq!(reason.is_some(), builds_all, "{path}: {reason:?}");
        }
        let uncertain = Definition {
            uncertain_because: Some("for a reason".into()),
            ..definition
        };
        assert_eq!(
            super::build_all_because(&[], &uncertain).as_deref(),
            Some("for a reason")
        );
    }
}
