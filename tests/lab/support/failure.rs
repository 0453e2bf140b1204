//! What a failure may leave on a runner: nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::{Outcome, Runner};

/// A runner before a step.
#[derive(Debug)]
pub(crate) struct Untouched {
    tree: BTreeMap<PathBuf, Vec<u8>>,
    env: BTreeMap<String, String>,
}

impl Untouched {
    pub(crate) fn of(runner: &Runner) -> Result<Self> {
        Ok(Self {
            tree: runner.tree()?,
            env: runner.env.clone(),
        })
    }

    /// Whether the runner is as it was: no file more, in particular none with a secret; no builder selected; no process.
    pub(crate) fn is(&self, runner: &Runner) -> Result<()> {
        let tree = runner.tree()?;
        for path in self.tree.keys().chain(tree.keys()) {
            ensure!(
                self.tree.get(path) == tree.get(path),
                "{} differs",
                path.display()
            );
        }
        ensure!(self.env == runner.env, "exported: {:?}", runner.env);
        let processes = runner.processes()?;
        ensure!(processes.is_empty(), "processes are left: {processes:?}");
        Ok(())
    }

    /// Whether a step failed with this title and these words, and left the runner as it was.
    pub(crate) fn after(&self, runner: &Runner, failed: &Outcome, title: &str, words: &[&str]) -> Result<()> {
        let Outcome { code, log, outputs } = failed;
        ensure!(*code == Some(1), "{title}: exit code {code:?}: {log}");
        let annotation = format!("::error title={title}::");
        let line = log.lines().find(|l| l.starts_with(&annotation));
        let line = line.with_context(|| format!("no annotation {annotation} in {log}"))?;
        for word in words {
            ensure!(line.contains(word), "{title}: {word:?} is not in {line}");
        }
        ensure!(outputs.is_empty(), "{title}: outputs {outputs:?}");
        self.is(runner).with_context(|| format!("after {title}"))
    }
}
