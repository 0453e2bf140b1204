//! `cargo xtask workflows`: checks the workflows and actions of this repository and the examples with zizmor, for their
//! security, and with actionlint, for their correctness.

use std::process::Command;

use anyhow::{Context, Result};

use crate::tool::{root, stage};

pub(crate) fn run() -> Result<()> {
    let linters = lab::linters()?;
    let examples = examples()?;
    let mut zizmor = Command::new(linters.zizmor);
    zizmor
        .current_dir(root())
        .args(["--offline", "--no-progress", "--quiet", "--min-severity=medium"])
        .args(["--config=.github/zizmor.yml", "--strict-collection", "."])
        .args(&examples);
    stage("zizmor", &mut zizmor)?;
    let mut actionlint = Command::new(linters.actionlint);
    // Without the programs that it would call if this machine has them.
    actionlint
        .current_dir(root())
        .args(["-shellcheck=", "-pyflakes="])
        .args(&examples)
        .args(workflows(".github/workflows")?);
    stage("actionlint", &mut actionlint)
}

fn examples() -> Result<Vec<String>> {
    Ok([workflows("examples")?, workflows("examples/demo")?].concat())
}

/// Returns the workflows in a directory.
fn workflows(dir: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(dir)).with_context(|| format!("could not list {dir}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yml") {
            found.push(format!("{dir}/{name}"));
        }
    }
    found.sort();
    Ok(found)
}
