//! What came out of it: outputs, a table in the log and in the job's summary, or JSON.

use std::collections::{BTreeMap, BTreeSet};

use super::changed::Changed;
use super::targets::unknown;
use super::workplace::Workplace;
use crate::error_code::ErrorCode;
use crate::inputs::Matrix;
use crate::matrix::definition::Definition;
use crate::matrix::legs::legs;
use crate::matrix::parts::Parts;
use crate::matrix::plan::{Plan, with_links};
use crate::matrix::table;
use crate::matrix::target::Targets;
use crate::problem::Problem;
use crate::report::{say, verbatim};
use crate::secret::Secret;
use crate::{env, github};

/// GitHub shows so many annotations of a step.
const MOST_WARNINGS: usize = 10;

/// Dockerfiles that were not understood. Their targets are built, and the build says whether there is something wrong.
pub(super) fn faults(parts: &BTreeMap<String, Parts>) {
    let faults: BTreeSet<&String> = parts.values().filter_map(|parts| parts.fault.as_ref()).collect();
    for fault in faults.into_iter().take(MOST_WARNINGS) {
        let text = format!("{fault}. What is built from it is built whatever changes.");
        github::warning("Dockerfile not understood", &text);
        if !github::in_job() {
            say(&format!("Dockerfile not understood: {text}"));
        }
    }
}

/// What gh and others take outside of a job.
pub(super) fn token() -> Option<Secret> {
    env::get(env::GITHUB_TOKEN).map(Secret::new)
}

/// The matrix, for a workflow, for people, or for a program.
pub(super) fn planned(
    asked: &Matrix,
    targets: &Targets,
    plan: &Plan,
    changed: &Changed,
) -> anyhow::Result<()> {
    let built = plan.built();
    let legs = legs(
        targets,
        &built,
        asked.per_platform,
        github::repository().as_deref(),
    );
    if !legs.fits() {
        return Err(too_many(built.len()).into());
    }
    let between;
    let (files, changed) = match changed {
        Changed::Everything { .. } => (None, None),
        Changed::These { changes, base, head } => {
            between = format!("between {} and {}", short(base), short(head));
            (Some(changes.len()), Some((changes.len(), between.as_str())))
        }
    };
    let verdict = table::verdict(plan, changed);
    for line in table::lines(plan) {
        say(&line);
    }
    let notes = legs.notes();
    for note in &notes {
        say(note);
        github::warning("Matrix too large", note);
    }
    say(&verdict);
    let matrix = legs.matrix();
    for (name, value) in [
        ("matrix", matrix.as_str()),
        ("targets", &serde_json::json!(built).to_string()),
        ("any", if built.is_empty() { "false" } else { "true" }),
        ("reason", &verdict),
        (
            "changed-files",
            &files.map(|files| files.to_string()).unwrap_or_default(),
        ),
    ] {
        github::set_output(name, value)?;
    }
    github::summary(&table::markdown(plan, &verdict, &notes))?;
    if asked.json {
        verbatim(&matrix)?;
    }
    Ok(())
}

/// The files of a target and of those that it links to, for people, one a line.
pub(super) fn explained(
    target: &str,
    targets: &Targets,
    parts: &BTreeMap<String, Parts>,
    definition: &Definition,
    workplace: &Workplace,
) -> anyhow::Result<()> {
    if !targets.all.contains_key(target) {
        return Err(unknown(target, targets).into());
    }
    let tree = &workplace.tree;
    let there = |file: &&String| tree.has_file(file);
    let mut files: BTreeSet<&str> = definition
        .files
        .iter()
        .filter(there)
        .map(String::as_str)
        .collect();
    for name in with_links(target, parts) {
        let Some(parts) = parts.get(name) else { continue };
        files.extend(parts.list(tree));
        if let Some(unknown) = &parts.unknown {
            say(&format!("{name} is built whatever changes: {unknown}."));
        }
    }
    if let Some(doubt) = &definition.doubt {
        say(&format!("Everything is built whatever changes: {doubt}."));
    }
    verbatim(&files.into_iter().collect::<Vec<_>>().join("\n"))
}

fn too_many(targets: usize) -> Problem {
    Problem::new(
        ErrorCode::MatrixTooLarge,
        format!(
            "The matrix of {} is more than GitHub takes as an output.",
            number(targets, "target")
        ),
        "Plan for fewer at once, with `targets`, in several steps.",
    )
}

pub(super) fn number(count: usize, of: &str) -> String {
    if count == 1 {
        format!("1 {of}")
    } else {
        format!("{count} {of}s")
    }
}

/// A commit's id, as people write it.
fn short(commit: &str) -> &str {
    let id = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if id { &commit[..12] } else { commit }
}
