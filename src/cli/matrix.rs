//! The flags of `matrix`.

use clap::Args;

use super::OutputArgs;
use crate::secret::Secret;

#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Bake and compose files, as in docker/bake-action. Default: the files that buildx finds.
    #[arg(long)]
    pub files: Option<String>,
    /// Bake targets and groups to plan. Default: the group `default`. Without a bake file: names that result from
    /// `pattern`.
    #[arg(long)]
    pub targets: Option<String>,
    /// Overrides of bake targets, as TARGET.KEY=VALUE, one per line.
    #[arg(long)]
    pub set: Option<String>,
    /// Dockerfiles to plan, in .dockerignore syntax. Default, without a bake file: every file named like a Dockerfile.
    #[arg(long)]
    pub pattern: Option<String>,
    /// Directory in which buildx runs. Paths are relative to it.
    #[arg(long, default_value = ".")]
    pub workdir: String,
    /// Commit, branch or tag to compare with. Default: the base in the event of the job.
    #[arg(long)]
    pub base: Option<String>,
    /// Create one matrix entry per platform for multi-platform targets: true or false.
    #[arg(long, default_value = "false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub per_platform: String,
    /// GitHub API token with `contents: read`. It is used to list the changed files if the clone does not have the commits to compare.
    #[arg(long, value_parser = secret)]
    pub github_token: Option<Secret>,
    /// Print the files that a target is built from, and exit.
    #[arg(long, value_name = "TARGET")]
    pub explain: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}
