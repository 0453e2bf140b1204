//! The example workflows: their inputs exist, and their actions are those that a reader should copy.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The actions of the examples. All run on Node 24: each `action.yml` says so at that tag. The last ones are ours.
const ACTIONS: [&str; 8] = [
    "actions/checkout@v7",
    "docker/bake-action@v7",
    "docker/build-push-action@v7",
    "docker/login-action@v4",
    "org/remote-buildkit@v1",
    "org/remote-buildkit/matrix@v1",
    "org/remote-buildkit/runner@v1",
    "org/remote-buildkit@COMMIT",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(dir)).with_context(|| format!("could not list {dir}"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Returns the steps of every example workflow, with the path of their file.
fn steps() -> Result<Vec<(PathBuf, Value)>> {
    let mut steps = Vec::new();
    for path in [files("examples", "yml")?, files("examples/demo", "yml")?].concat() {
        let example: Value = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
        let jobs = example["jobs"].as_object().context("no jobs")?.values();
        let found = jobs.filter_map(|job| job["steps"].as_array()).flatten();
        steps.extend(found.map(|step| (path.clone(), step.clone())));
    }
    Ok(steps)
}

/// Every input in an example workflow exists in the action that it uses.
#[test]
fn inputs_exist() -> Result<()> {
    let known = |action: &str| -> Result<BTreeSet<String>> {
        let action: Value = serde_saphyr::from_str(&fs::read_to_string(root().join(action))?)?;
        let inputs = action["inputs"].as_object().context("no inputs")?;
        Ok(inputs.keys().cloned().collect())
    };
    let actions = [
        ("org/remote-buildkit@", known("action.yml")?),
        ("./", known("action.yml")?),
        ("org/remote-buildkit/matrix@", known("matrix/action.yml")?),
    ];
    let mut checked = 0;
    for (path, step) in steps()? {
        let uses = step["uses"].as_str().unwrap_or_default();
        let Some((_, known)) = actions.iter().find(|(action, _)| uses.starts_with(action)) else {
            continue;
        };
        for input in step["with"].as_object().into_iter().flat_map(|with| with.keys()) {
            ensure!(known.contains(input), "{}: no input {input}", path.display());
        }
        checked += 1;
    }
    ensure!(checked > 5, "only {checked} steps were found");
    Ok(())
}

/// The checkout is sent to the agent as the build context, so it must not contain a token.
#[test]
fn checkouts_keep_no_credentials() -> Result<()> {
    for (path, step) in steps()? {
        if step["uses"]
            .as_str()
            .is_some_and(|uses| uses.starts_with("actions/checkout@"))
        {
            let setting = &step["with"]["persist-credentials"];
            ensure!(*setting == Value::Bool(false), "{}: {step}", path.display());
        }
    }
    Ok(())
}

/// Examples and pages name actions of the list only, so that all of them change together.
#[test]
fn actions_are_current() -> Result<()> {
    let pages = [files(".", "md")?, files("docs", "md")?, files("examples", "yml")?];
    let mut checked = 0;
    for path in [pages.concat(), files("examples/demo", "yml")?].concat() {
        for line in fs::read_to_string(&path)?.lines() {
            // A line that the reader of a difference is to remove.
            let Some((_, action)) = line.split_once("uses: ").filter(|_| !line.starts_with('-')) else {
                continue;
            };
            let end = action.find(|c: char| c.is_whitespace() || "`,)".contains(c));
            let action = &action[..end.unwrap_or(action.len())];
            ensure!(
                ACTIONS.contains(&action) || action.starts_with("./"),
                "{}: {action}",
                path.display()
            );
            checked += 1;
        }
    }
    ensure!(checked > 30, "only {checked} were found");
    Ok(())
}
