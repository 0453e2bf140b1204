//! What a job leaves on a machine, and what it must not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Outcome, Runner, note};

/// A runner before a step.
#[derive(Debug)]
pub(crate) struct Before {
    tree: BTreeMap<PathBuf, Vec<u8>>,
    env: BTreeMap<String, String>,
}

impl Before {
    pub(crate) fn of(runner: &Runner) -> Result<Self> {
        Ok(Self {
            tree: runner.tree()?,
            env: runner.env.clone(),
        })
    }

    /// Nothing is selected: no variable is exported, and home and temporary folder are as they were.
    pub(crate) fn nothing_is_selected(&self, runner: &Runner) -> Result<()> {
        let builder = runner.env.get("BUILDX_BUILDER");
        ensure!(runner.env == self.env, "a builder is selected: {builder:?}");
        self.files_are_as_before(runner)
    }

    /// The runner is as it was: nothing is selected, and nothing runs.
    pub(crate) fn is(&self, runner: &Runner) -> Result<()> {
        self.nothing_is_selected(runner)?;
        Self::nothing_runs(runner)
    }

    /// A step failed with this title and these words, and left the runner as it was.
    pub(crate) fn after(&self, runner: &Runner, failed: &Outcome, title: &str, words: &[&str]) -> Result<()> {
        failed.refused(title, words)?;
        note(failed.seconds)?;
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
        Self::nothing_runs(runner)
    }

    /// Every process that the job started has ended.
    pub(crate) fn nothing_runs(runner: &Runner) -> Result<()> {
        let folder = runner.folder().to_string_lossy().into_owned();
        let mut left = processes(&folder);
        for _ in 0..20 {
            if left.is_empty() {
                break;
            }
            sleep(Duration::from_millis(100));
            left = processes(&folder);
        }
        ensure!(left.is_empty(), "still running: {left:?}");
        Ok(())
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

/// Command lines of processes that a job started: they have its folder in their environment or arguments.
fn processes(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let read = |file| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        if line.contains(folder) || String::from_utf8_lossy(&read("environ")).contains(folder) {
            found.push(line);
        }
    }
    found
}
