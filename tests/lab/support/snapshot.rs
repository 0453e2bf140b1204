//! Checks that a job leaves nothing on a machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Outcome, Runner, record_seconds};

/// The files and variables of a runner before a step.
#[derive(Debug)]
pub(crate) struct RunnerSnapshot {
    tree: BTreeMap<PathBuf, Vec<u8>>,
    env: BTreeMap<String, String>,
}

impl RunnerSnapshot {
    pub(crate) fn take(runner: &Runner) -> Result<Self> {
        Ok(Self {
            tree: runner.tree()?,
            env: runner.env.clone(),
        })
    }

    /// Checks that no builder is selected: no variable is exported, and home and temporary directory are unchanged.
    pub(crate) fn ensure_no_builder(&self, runner: &Runner) -> Result<()> {
        let builder = runner.env.get("BUILDX_BUILDER");
        ensure!(runner.env == self.env, "a builder is selected: {builder:?}");
        self.ensure_same_files(runner)
    }

    /// Checks that the runner is unchanged: no builder is selected, and no process is left.
    pub(crate) fn ensure_unchanged(&self, runner: &Runner) -> Result<()> {
        self.ensure_no_builder(runner)?;
        Self::ensure_no_processes(runner)
    }

    /// Checks that a step failed with this title and these words, and left the runner unchanged.
    pub(crate) fn ensure_failed_cleanly(
        &self,
        runner: &Runner,
        failed: &Outcome,
        title: &str,
        words: &[&str],
    ) -> Result<()> {
        failed.expect_error(title, words)?;
        record_seconds(failed.seconds)?;
        self.ensure_unchanged(runner)
            .with_context(|| format!("after {title}"))
    }

    /// Checks that nothing is left after the post step: no file, no secret, no process.
    pub(crate) fn ensure_nothing_left(&self, runner: &Runner) -> Result<()> {
        self.ensure_same_files(runner)?;
        for (path, content) in files(runner.dir())? {
            let text = String::from_utf8_lossy(&content);
            // A token for the cluster, a key of AWS, a JWT.
            for secret in ["k8s-aws-v1.", "ASIA", "eyJhbGciOi"] {
                ensure!(!text.contains(secret), "{secret}… is in {}", path.display());
            }
        }
        Self::ensure_no_processes(runner)
    }

    /// Checks that every process that the job started has exited.
    pub(crate) fn ensure_no_processes(runner: &Runner) -> Result<()> {
        let dir = runner.dir().to_string_lossy().into_owned();
        let mut left = processes(&dir);
        for _ in 0..20 {
            if left.is_empty() {
                break;
            }
            sleep(Duration::from_millis(100));
            left = processes(&dir);
        }
        ensure!(left.is_empty(), "still running: {left:?}");
        Ok(())
    }

    fn ensure_same_files(&self, runner: &Runner) -> Result<()> {
        let after = runner.tree()?;
        let differs = |path: &&PathBuf| self.tree.get(*path) != after.get(*path);
        let paths: Vec<_> = self.tree.keys().chain(after.keys()).filter(differs).collect();
        ensure!(paths.is_empty(), "added, changed or removed: {paths:?}");
        Ok(())
    }
}

/// Returns every file below a directory with its content; the content of a link is its target.
pub(super) fn files(dir: &std::path::Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                dirs.push(path);
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

/// Returns the command lines of the processes of a job, which have its directory in their environment or arguments.
fn processes(dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let read = |file| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        if line.contains(dir) || String::from_utf8_lossy(&read("environ")).contains(dir) {
            found.push(line);
        }
    }
    found
}
