//! A build of a few bytes, to see whether builds work. Its builder is in a folder of its own, which buildx takes for its
//! own: the user's is not touched, and no other process sees the builder.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::instance::Builder;
use super::run::run;
use super::store::Store;
use crate::agent::platform::Platform;
use crate::error_code::ErrorCode;
use crate::files;
use crate::problem::Problem;

/// No registry is asked: there is no base image, and no `# syntax` line.
const DOCKERFILE: &str = "FROM scratch\nCOPY file /file\n";

/// A trial's folder, removed with it.
#[derive(Debug)]
pub struct Trial {
    folder: PathBuf,
    builder: String,
    platforms: Vec<Platform>,
}

/// A build that worked.
#[derive(Debug)]
pub struct Built {
    /// Whether the agent did nothing, for it had all of it.
    pub cached: bool,
}

/// What `buildx version` prints. `folder` is for what it writes, and is the caller's to remove.
pub async fn version(folder: &Path) -> anyhow::Result<String> {
    let output = run(folder, folder, &["version"]).await?;
    anyhow::ensure!(
        output.succeeded,
        "buildx version failed: {}",
        output.stderr.trim()
    );
    Ok(output.stdout.trim().to_owned())
}

impl Trial {
    /// Below `parent`, which is private. `builder` has one node.
    pub fn prepare(parent: &Path, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<Self> {
        let name = format!("trial-{}", files::random_hex()?);
        let trial = Self {
            folder: files::private_folder(parent, &name)?,
            builder: builder.name.clone(),
            platforms: builder
                .nodes
                .iter()
                .flat_map(|node| node.platforms.clone())
                .collect(),
        };
        Store::open_at(trial.store())?.put(builder, kubeconfig)?;
        let context = files::private_folder(&trial.folder, "context")?;
        // Random, so that only this trial's own first build can have put it into the cache.
        let content = format!("{}{}\n", files::random_hex()?, files::random_hex()?);
        for (name, text) in [("file", content.as_str()), ("Dockerfile", DOCKERFILE)] {
            std::fs::write(context.join(name), text)
                .with_context(|| format!("writing {name} for a trial build"))?;
        }
        Ok(trial)
    }

    fn store(&self) -> PathBuf {
        self.folder.join("buildx")
    }

    /// Builds, and leaves the result in the agent's cache alone.
    pub async fn build(&self) -> anyhow::Result<Built> {
        let context = self.folder.join("context");
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
        let output = run(&self.folder, &self.store(), &arguments).await?;
        if !output.succeeded {
            return Err(failed(&output.stderr).into());
        }
        Ok(Built {
            cached: cached(&output.stderr),
        })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Its parent is removed by whoever made it, and that one says so if it cannot.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// How many of its last lines tell what was wrong.
const LAST: usize = 8;

fn failed(said: &str) -> Problem {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.len().saturating_sub(LAST);
    Problem::new(
        ErrorCode::TestBuildFailed,
        format!(
            "Built a file of a few bytes through buildx and got:\n{}",
            lines[last..].join("\n")
        ),
        "The checks above have passed, so it is between buildx and the daemon: see the agent's log, and the proxies that \
         this runner's environment names.",
    )
}

/// Whether each COPY came from the cache: plain progress has a line `#5 CACHED` for a step whose name it had before.
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
    fn a_cache_hit_is_one_of_every_copy() {
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
