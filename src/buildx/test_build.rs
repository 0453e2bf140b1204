//! A test build of a few bytes.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::install::Program;
use super::instance::Builder;
use super::isolated_build::{IsolatedBuild, last_lines};
use super::run::{BuildxOutput, run, run_program};
use crate::error_code::ErrorCode;
use crate::files;
use crate::problem::Problem;

/// The Dockerfile of the test build. It has no base image and no `# syntax` line, so that no registry is needed.
const DOCKERFILE: &str = "FROM scratch\nCOPY file /file\n";

/// A prepared test build. Its directory is removed on drop.
#[derive(Debug)]
pub struct TestBuild(IsolatedBuild);

/// The result of a successful test build.
#[derive(Debug)]
pub struct TestBuildResult {
    /// Whether the agent had the result of every COPY in its cache.
    pub cached: bool,
}

/// Returns the output of `buildx version`. buildx writes to `dir`, which the caller removes.
pub async fn version(dir: &Path) -> anyhow::Result<String> {
    printed_version(&run(dir, dir, &["version"]).await?)
}

/// Returns the output of `version` of this buildx, like [`version`].
pub async fn version_of(program: PathBuf, dir: &Path) -> anyhow::Result<String> {
    let program = Program {
        path: program,
        plugin: None,
    };
    printed_version(&run_program(&program, Path::new("."), dir, dir, &["version"]).await?)
}

fn printed_version(output: &BuildxOutput) -> anyhow::Result<String> {
    anyhow::ensure!(
        output.succeeded,
        "buildx version failed: {}",
        output.stderr.trim()
    );
    Ok(output.stdout.trim().to_owned())
}

impl TestBuild {
    /// Prepares a test build in a subdirectory of `parent`, which only this user can read. `builder` must have one
    /// node.
    pub fn prepare(parent: &Path, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<Self> {
        let build = IsolatedBuild::prepare(parent, builder, kubeconfig)?;
        let context = build.context();
        // Random content, so that only the first build of this test can have put it in the cache.
        let content = format!("{}{}\n", files::random_hex()?, files::random_hex()?);
        for (name, text) in [("file", content.as_str()), ("Dockerfile", DOCKERFILE)] {
            std::fs::write(context.join(name), text)
                .with_context(|| format!("writing {name} for a test build"))?;
        }
        Ok(Self(build))
    }

    /// Runs the build. Its result is stored only in the agent's cache.
    pub async fn build(&self) -> anyhow::Result<TestBuildResult> {
        let output = self.0.run(&["--provenance=false"]).await?;
        if !output.succeeded {
            return Err(test_build_failed(&output.stderr).into());
        }
        Ok(TestBuildResult {
            cached: is_cached(&output.stderr),
        })
    }
}

/// The number of last lines of buildx's output that an error shows.
const LAST_LINES: usize = 8;

/// Returns the error for a failed test build, with the last lines of buildx's output.
fn test_build_failed(output: &str) -> Problem {
    Problem::new(
        ErrorCode::TestBuildFailed,
        format!(
            "Ran a test build with buildx and got:\n{}",
            last_lines(output, LAST_LINES)
        ),
        "Check the agent's log, and the proxy variables of this runner: the checks above passed, so the failure is between \
         buildx and the daemon.",
    )
}

/// Returns whether the result of every COPY was in the cache. buildx's plain progress prints the name of a step, and
/// then a line such as `#5 CACHED`.
fn is_cached(progress: &str) -> bool {
    let steps = progress
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once(' '));
    let copies: Vec<&str> = steps
        .clone()
        .filter(|(_, text)| text.contains("] COPY file"))
        .map(|(number, _)| number)
        .collect();
    let is_hit = |number: &&str| steps.clone().any(|step| step == (*number, "CACHED"));
    !copies.is_empty() && copies.iter().all(is_hit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_hit_needs_every_copy_cached() {
        let first = "#4 [1/1] COPY file /file\n#4 DONE 0.1s\n";
        let second = "#4 [linux/amd64 1/1] COPY file /file\n#4 CACHED\n";
        let one_of_two = "#4 [linux/amd64 1/1] COPY file /file\n#4 CACHED\n#5 [linux/arm64 1/1] COPY file /file\n#5 DONE 0.1s\n";
        assert!(!is_cached(first));
        assert!(is_cached(second));
        assert!(!is_cached(one_of_two));
        assert!(!is_cached("#1 CACHED\n"));
    }

    #[test]
    fn a_failure_shows_its_last_lines() {
        let output: String = (1..=20).map(|number| format!("line {number}\n\n")).collect();
        let problem = test_build_failed(&output);
        assert!(
            problem.what.contains("line 20") && problem.what.contains("line 13"),
            "{problem}"
        );
        assert!(!problem.what.contains("line 12"), "{problem}");
        insta::assert_snapshot!(problem);
    }
}
