//! The build of an image, and how many of its steps were in the agent's cache.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::instance::Builder;
use super::isolated_build::{IsolatedBuild, last_lines};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// A prepared build. Its directory is removed on drop.
#[derive(Debug)]
pub struct ImageBuild {
    build: IsolatedBuild,
    build_args: Vec<String>,
}

/// What a successful build did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageBuildResult {
    pub took: Duration,
    /// The number of steps of the Dockerfile, without its base images.
    pub steps: usize,
    /// How many of them were in the agent's cache.
    pub cached: usize,
}

impl ImageBuild {
    /// Prepares a build in a subdirectory of `parent`, which only this user can read. The caller writes the context.
    pub fn prepare(
        parent: &Path,
        builder: &Builder,
        kubeconfig: &Path,
        build_args: &[String],
    ) -> anyhow::Result<Self> {
        Ok(Self {
            build: IsolatedBuild::prepare(parent, builder, kubeconfig)?,
            build_args: build_args.to_vec(),
        })
    }

    /// Returns the directory of the build context.
    pub fn context(&self) -> PathBuf {
        self.build.context()
    }

    /// Runs the build. Its result is stored only in the agent's cache.
    pub async fn run(&self) -> anyhow::Result<ImageBuildResult> {
        let build_args = self.build_args.iter();
        let options: Vec<&str> = build_args
            .flat_map(|build_arg| ["--build-arg", build_arg])
            .collect();
        let start = Instant::now();
        let output = self.build.run(&options).await?;
        let took = start.elapsed();
        if !output.succeeded {
            return Err(build_failed(&output.stderr).into());
        }
        let (steps, cached) = count(&output.stderr);
        Ok(ImageBuildResult { took, steps, cached })
    }
}

/// The number of last lines of buildx's output that an error shows.
const LAST_LINES: usize = 20;

fn build_failed(output: &str) -> Problem {
    Problem::new(
        ErrorCode::TestBuildFailed,
        format!(
            "Built the example application and got:\n{}",
            last_lines(output, LAST_LINES)
        ),
        "Follow BuildKit's message. If the agent cannot pull a base image, name copies that it can pull: --build-arg \
         NODE=IMAGE --build-arg GO=IMAGE.",
    )
}

/// Counts the steps of a Dockerfile, and those that were cached, in buildx's plain progress. It prints the name of a step
/// (`#6 [web 4/6] RUN npm ci`), and then a line such as `#6 CACHED`. A base image is never reported as cached.
fn count(progress: &str) -> (usize, usize) {
    let lines = progress
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once(' '));
    let is_step =
        |text: &str| text.starts_with('[') && !text.starts_with("[internal]") && !text.contains("] FROM ");
    let mut steps: Vec<&str> = lines
        .clone()
        .filter(|(_, text)| is_step(text))
        .map(|(number, _)| number)
        .collect();
    steps.sort_unstable();
    steps.dedup();
    let is_cached = |number: &&&str| lines.clone().any(|line| line == (**number, "CACHED"));
    (steps.len(), steps.iter().filter(is_cached).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_once_and_without_base_images() {
        let progress = "#1 [internal] load build definition from Dockerfile\n#1 DONE 0.0s\n\
                        #5 [web 1/6] FROM docker.io/library/node:24-alpine\n#5 CACHED\n\
                        #6 [web 2/6] WORKDIR /web\n#6 CACHED\n\
                        #7 [web 3/6] RUN npm ci\n#7 0.512 added 1 package\n#7 DONE 0.8s\n\
                        #8 [linux/arm64 server 2/7] WORKDIR /server\n#8 CACHED\n\
                        #7 [web 3/6] RUN npm ci\n\
                        #9 exporting cache\n#9 DONE 0.1s\n";
        assert_eq!(count(progress), (3, 2));
        assert_eq!(count(""), (0, 0));
    }

    #[test]
    fn a_failure_names_the_build_arguments() {
        insta::assert_snapshot!(build_failed(
            "#5 [web 1/6] FROM docker.io/library/node:24-alpine\n\n#5 ERROR: not found\n"
        ));
    }
}
