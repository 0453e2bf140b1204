//! Runs `remote-buildkit matrix` for an edit.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::agent::Agent;
use super::repository::RandomRepository;
use crate::support::{output, program};

/// The output of `matrix`.
#[derive(Debug)]
pub(super) struct Planned {
    /// The targets in the matrix.
    pub(super) targets: BTreeSet<String>,
    /// The log, with the reason for each target.
    pub(super) log: String,
}

impl Planned {
    /// Returns whether a target is always built because one of its sources is missing.
    pub(super) fn lacks_sources(&self) -> bool {
        self.log.contains("of its Dockerfile reads ")
    }
}

/// Runs `matrix` for the newest commit, compared with the commit `base`, outside of a job.
pub(super) fn run(agent: &Agent, repository: &RandomRepository, base: &str) -> Result<Planned> {
    let mut matrix = agent.command(program());
    matrix
        .current_dir(repository.root())
        .env_remove("GITHUB_ACTIONS")
        .args(["matrix", "--json", "--base", base]);
    let result = output(&mut matrix)?;
    let log = String::from_utf8_lossy(&result.stderr).into_owned();
    ensure!(result.status.success(), "matrix failed: {log}");
    let printed = String::from_utf8(result.stdout)?;
    let matrix: serde_json::Value =
        serde_json::from_str(&printed).with_context(|| format!("not JSON: {printed}"))?;
    let entries = matrix["include"].as_array().context("no entries")?;
    let targets = entries
        .iter()
        .filter_map(|entry| entry["target"].as_str().map(str::to_owned));
    Ok(Planned {
        targets: targets.collect(),
        log,
    })
}
