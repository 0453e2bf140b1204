//! A build with a buildx directory and a context of its own, as a job on a new machine has them: the user's directory is not
//! changed, and no other process sees the builder.

use std::path::{Path, PathBuf};

use super::instance::Builder;
use super::run::{BuildxOutput, run};
use super::store::Store;
use crate::agent::platform::Platform;
use crate::files;

/// A prepared build. Its directory is removed on drop.
#[derive(Debug)]
pub(super) struct IsolatedBuild {
    dir: PathBuf,
    builder: String,
    platforms: Vec<Platform>,
}

impl IsolatedBuild {
    /// Prepares a build in a subdirectory of `parent`, which only this user can read. The caller writes the context.
    pub(super) fn prepare(parent: &Path, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<Self> {
        let build = Self {
            dir: files::private_dir(parent, &format!("build-{}", files::random_hex()?))?,
            builder: builder.name.clone(),
            platforms: builder
                .nodes
                .iter()
                .flat_map(|node| node.platforms.clone())
                .collect(),
        };
        Store::open_at(build.store())?.insert(builder, kubeconfig)?;
        files::private_dir(&build.dir, "context")?;
        Ok(build)
    }

    /// Returns the directory of the build context.
    pub(super) fn context(&self) -> PathBuf {
        self.dir.join("context")
    }

    fn store(&self) -> PathBuf {
        self.dir.join("buildx")
    }

    /// Runs the build, for the platforms of the builder. Its result is stored only in the agent's cache.
    pub(super) async fn run(&self, options: &[&str]) -> anyhow::Result<BuildxOutput> {
        let platforms: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
        let platforms = format!("--platform={}", platforms.join(","));
        let context = self.context();
        let context = context.to_string_lossy();
        let mut arguments = vec!["build", "--builder", &self.builder, "--progress=plain"];
        arguments.extend(options);
        if !self.platforms.is_empty() {
            arguments.push(&platforms);
        }
        arguments.push(&context);
        run(&self.dir, &self.store(), &arguments).await
    }
}

impl Drop for IsolatedBuild {
    fn drop(&mut self) {
        // The owner of the parent directory removes it too, and reports errors.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Returns the last lines of buildx's output that are not empty.
pub(super) fn last_lines(output: &str, number: usize) -> String {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(number)..].join("\n")
}
