//! What a job leaves on a machine, and what it must not.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::running::{Time, note};
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
        ensure!(runner.env == self.env, "exported: {:?}", runner.env);
        self.files_are_as_before(runner)?;
        runner.nothing_runs()
    }

    /// Whether a step failed with this title and these words, and left the runner as it was.
    pub(crate) fn after(&self, runner: &Runner, failed: &Outcome, title: &str, words: &[&str]) -> Result<()> {
        note(Time::Verdict, failed.seconds)?;
        failed.refused(title, words)?;
        self.is(runner).with_context(|| format!("after {title}"))
    }

    /// After the post step: no file, no secret, no process.
    pub(crate) fn nothing_remains(&self, runner: &Runner) -> Result<()> {
        self.files_are_as_before(runner)?;
        for (path, content) in files(runner.folder())? {
            let text = String::from_utf8_lossy(&content);
            // A token for the cluster, a key of AWS, a JWT.
            for secret in ["k8s-aws-v1.", "ASIA", "eyJhbGciOi"] {
                ensure!(!text.contains(secret), "{secret}… is in {}", path.display());
            }
        }
        runner.nothing_runs()
    }

    fn files_are_as_before(&self, runner: &Runner) -> Result<()> {
        let after = runner.tree()?;
        let differs = |path: &&PathBuf| self.tree.get(*path) != after.get(*path);
        let paths: Vec<_> = self.tree.keys().chain(after.keys()).filter(differs).collect();
        ensure!(paths.is_empty(), "left, changed or gone: {paths:?}");
        Ok(())
    }
}

/// Every file below a folder with its content; that of a link is where it leads.
pub(super) fn files(folder: &std::path::Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path)?;
                files.insert(path, target.to_string_lossy().into_owned().into_bytes());
            } else {
                let content = std::fs::read(&path)?;
                files.insert(path, content);
            }
        }
    }
    Ok(files)
}
