//! A test build of a few bytes. Its builder is in a separate buildx directory, so that the user's is not changed and no other
//! process sees the builder.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::instance::Builder;
use super::run::run;
use super::store::Store;
use crate::agent::platform::Platform;
use crate::error_code::ErrorCode;
use crate::files;
use crate::problem::Problem;

/// Without a base image and a `# syntax` line, so that no registry is needed.
const DOCKERFILE: &str = "FROM scratch\nCOPY file /file\n";

/// A test build's directory, which is removed on drop.
#[derive(Debug)]
pub struct TestBuild {
    dir: PathBuf,
    builder: String,
    platforms: Vec<Platform>,
}

/// The result of a successful test build.
#[derive(Debug)]
pub struct TestBuildResult {
    /// Whether every step came from the agent's cache.
    pub cached: bool,
}

/// Returns what `buildx version` prints. It writes to `dir`, which the caller removes.
pub async fn version(dir: &Path) -> anyhow::Result<String> {
    let output = run(dir, dir, &["version"]).await?;
    anyhow::ensure!(
        output.succeeded,
        "buildx version failed: {}",
        output.stderr.trim()
    );
    Ok(output.stdout.trim().to_owned())
}

impl TestBuild {
    /// Prepares a test build in `parent`, which is private. `builder` has one node.
    pub fn prepare(parent: &Path, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<Self> {
        let name = format!("test-build-{}", files::random_hex()?);
        let test_build = Self {
            dir: files::private_folder(parent, &name)?,
            builder: builder.name.clone(),
            platforms: builder
                .nodes
                .iter()
                .flat_map(|node| node.platforms.clone())
                .collect(),
        };
        Store::open_at(test_build.store())?.put(builder, kubeconfig)?;
        let context = files::private_folder(&test_build.dir, "context")?;
        // Random, so that it is cached only by this test's own first build.
        let content = format!("{}{}\n", files::random_hex()?, files::random_hex()?);
        for (name, text) in [("file", content.as_str()), ("Dockerfile", DOCKERFILE)] {
            std::fs::write(context.join(name), text)
                .with_context(|| format!("writing {name} for a test build"))?;
        }
        Ok(test_build)
    }

    fn store(&self) -> PathBuf {
        self.dir.join("buildx")
    }

    /// Builds. The result stays in the agent's cache only.
    pub async fn build(&self) -> anyhow::Result<TestBuildResult> {
        let context = self.dir.join("context");
        let (context, platforms) = (
            context.to_string_lossy(),
            self.platforms.iter().map(ToString::to_string),
        );
        let platforms = format!("--platform={}", platforms.collect::<Vec<_>>().join(","));
        let mut arguments = vec![
            "build",
            "--builder",
            &self.builder,
            "--progress=plain",
            "--provenance=false",
        ];
        if !self.platforms.is_empty() {
            arguments.push(&platforms);
        }
        arguments.push(&context);
        let output = run(&self.dir, &self.store(), &arguments).await?;
        if !output.succeeded {
            return Err(failed(&output.stderr).into());
        }
        Ok(TestBuildResult {
            cached: cached(&output.stderr),
        })
    }
}

impl Drop for TestBuild {
    fn drop(&mut self) {
        // The parent's owner removes it too, and reports an error.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// How many of the last lines an error shows.
const LAST_LINES: usize = 8;

fn failed(said: &str) -> Problem {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.len().saturating_sub(LAST_LINES);
    Problem::new(
        ErrorCode::TestBuildFailed,
        format!(
            "Built a file of a few bytes with buildx and got:\n{}",
            lines[last..].join("\n")
        ),
        "Check the agent's log, and the proxy variables of this runner: the checks above passed, so the failure is between \
         buildx and the daemon.",
    )
}

/// Returns whether each COPY came from the cache. Plain progress prints the name of a step, then a line `#5 CACHED`.
fn cached(progress: &str) -> bool {
    let steps = progress
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once(' '));
    let copies: Vec<&str> = steps
        .clone()
        .filter(|(_, text)| text.contains("] COPY file"))
        .map(|(number, _)| number)
        .collect();
    let hit = |number: &&str| steps.clone().any(|step| step == (*number, "CACHED"));
    !copies.is_empty() && copies.iter().all(hit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_hit_needs_every_copy_cached() {
        let first = "#4 [1/1] COPY file /file\n#4 DONE 0.1s\n";
        let second = "#4 [linux/amd64 1/1] COPY file /file\n#4 CACHED\n";
        let half = "#4 [linux/amd64 1/1] COPY file /file\n#4 CACHED\n#5 [linux/arm64 1/1] COPY file /file\n#5 DONE 0.1s\n";
        assert!(!cached(first));
        assert!(cached(second));
        assert!(!cached(half));
        assert!(!cached("#1 CACHED\n"));
    }

    #[test]
    fn a_failure_shows_its_last_lines() {
        let said: String = (1..=20).map(|number| format!("line {number}\n\n")).collect();
        let problem = failed(&said);
        assert!(
            problem.what.contains("line 20") && problem.what.contains("line 13"),
            "{problem}"
        );
        assert!(!problem.what.contains("line 12"), "{problem}");
    }
}
