//! Runs `buildx bake --print`, which reads bake and Compose files without a builder or network access.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::run::{BuildxOutput, run_in};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// The arguments of `buildx bake`.
#[derive(Debug, Clone, Default)]
pub struct Bake {
    pub files: Vec<String>,
    pub targets: Vec<String>,
    /// The values of `--set`, each `TARGET.KEY=VALUE`.
    pub overrides: Vec<String>,
}

/// The timeout of `buildx bake`, which only reads a few files.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Bake {
    /// Returns the definition as JSON. buildx runs in `working_dir` and writes to `scratch_dir`, which the caller
    /// removes.
    pub async fn print(&self, working_dir: &Path, scratch_dir: &Path) -> anyhow::Result<String> {
        let overrides = self.overrides.iter().map(|value| format!("--set={value}"));
        let mut arguments = vec!["--print".to_owned()];
        arguments.extend(overrides);
        // After `--`, names that begin with a dash are not flags.
        arguments.push("--".into());
        arguments.extend(self.targets.iter().cloned());
        let output = self.bake(&arguments, working_dir, scratch_dir).await?;
        if output.succeeded {
            return Ok(output.stdout);
        }
        let errors = error_lines(&output.stderr);
        if !is_unknown_target(&errors) {
            return Err(bake_failed(&errors).into());
        }
        let list = ["--list=type=targets,format=json".to_owned()];
        let listed = self.bake(&list, working_dir, scratch_dir).await;
        let names = listed.ok().and_then(|output| target_names(&output.stdout));
        Err(unknown_target(&errors, names.as_deref()).into())
    }

    /// Runs `buildx bake` with the bake files and these arguments.
    async fn bake(
        &self,
        arguments: &[String],
        working_dir: &Path,
        scratch_dir: &Path,
    ) -> anyhow::Result<BuildxOutput> {
        let files: Vec<String> = self.files.iter().map(|file| format!("--file={file}")).collect();
        let mut command = vec!["bake", "--progress=quiet"];
        command.extend(files.iter().chain(arguments).map(String::as_str));
        let output = run_in(working_dir, scratch_dir, scratch_dir, &command);
        let output = tokio::time::timeout(TIMEOUT, output).await;
        output.with_context(|| format!("buildx bake did not end within {} s", TIMEOUT.as_secs()))?
    }
}

/// Returns the error output without progress lines.
fn error_lines(stderr: &str) -> String {
    let is_progress = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let lines = stderr
        .lines()
        .filter(|line| !line.trim().is_empty() && !is_progress(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns whether bake did not find a target (docker/buildx, bake/bake.go: `ResolveTarget`, `matchNames` and
/// `expandTargets`).
fn is_unknown_target(errors: &str) -> bool {
    errors.contains("failed to find target") || errors.contains("could not find any target matching")
}

/// Returns the error for a failed `bake --print`.
fn bake_failed(errors: &str) -> Problem {
    Problem::new(
        ErrorCode::BakeFailed,
        format!("Ran `docker buildx bake --print` and got:\n{errors}"),
        "Correct the file, or set `files`. `docker buildx bake --print` shows the same error.",
    )
}

/// Returns the error for an unknown target. `names` are the targets and groups that exist.
fn unknown_target(errors: &str, names: Option<&[String]>) -> Problem {
    let known = match names {
        Some([]) => "There are no targets.".to_owned(),
        Some(names) => format!("Existing targets: {}.", names.join(", ")),
        None => "`docker buildx bake --list targets` lists the targets.".to_owned(),
    };
    Problem::new(
        ErrorCode::UnknownBakeTarget,
        format!("Ran `docker buildx bake --print` and got:\n{errors}"),
        format!("Correct `targets` or `set`, or the groups of the bake file. {known}"),
    )
}

/// Parses the names of the targets and groups that `bake --list` prints.
fn target_names(listed: &str) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct ListedTarget {
        name: String,
    }
    // An empty list is `null`.
    let entries: Option<Vec<ListedTarget>> = serde_json::from_str(listed).ok()?;
    Some(entries.into_iter().flatten().map(|entry| entry.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_removed_from_errors() {
        let stderr = "#1 [internal] load local bake definitions\n#1 DONE 0.0s\n\nbake.hcl:2\n# a comment\nERROR: bake.hcl:2,13-3,1: Invalid expression\n";
        assert_eq!(
            error_lines(stderr),
            "bake.hcl:2\n# a comment\nERROR: bake.hcl:2,13-3,1: Invalid expression"
        );
    }

    #[test]
    fn an_unknown_target_lists_the_existing_ones() {
        let listed = r#"[{"name": "api"}, {"name": "default", "description": "api", "group": true}]"#;
        let names = target_names(listed).expect("a list");
        let error = "ERROR: failed to find target nope";
        assert!(is_unknown_target(error));
        let problem = unknown_target(error, Some(&names));
        assert!(problem.what.contains("nope"), "{problem}");
        assert!(
            problem.remedy.contains("Existing targets: api, default."),
            "{problem}"
        );
        assert_eq!(target_names("null"), Some(vec![]));
        assert!(
            unknown_target(error, target_names("x").as_deref())
                .remedy
                .contains("--list")
        );
    }
}
