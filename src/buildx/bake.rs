//! `buildx bake --print`, which reads bake and Compose files without a builder or network access.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::run::{BuildxOutput, run_in};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// The arguments of bake.
#[derive(Debug, Clone, Default)]
pub struct Bake {
    pub files: Vec<String>,
    pub targets: Vec<String>,
    /// `TARGET.KEY=VALUE` each.
    pub overrides: Vec<String>,
}

/// The timeout: bake reads a few files.
const TIMEOUT: Duration = Duration::from_secs(60);

impl Bake {
    /// Returns the definition in JSON. buildx runs in `working`, and writes to `scratch`, which the caller removes.
    pub async fn print(&self, working: &Path, scratch: &Path) -> anyhow::Result<String> {
        let overrides = self.overrides.iter().map(|one| format!("--set={one}"));
        let mut arguments = vec!["--print".to_owned()];
        arguments.extend(overrides);
        // Names that begin with a dash are not flags after it.
        arguments.push("--".into());
        arguments.extend(self.targets.iter().cloned());
        let output = self.bake(&arguments, working, scratch).await?;
        if output.succeeded {
            return Ok(output.stdout);
        }
        let said = error_lines(&output.stderr);
        if !is_unknown_target(&said) {
            return Err(unreadable(&said).into());
        }
        let list = ["--list=type=targets,format=json".to_owned()];
        let listed = self.bake(&list, working, scratch).await;
        let names = listed.ok().and_then(|output| names(&output.stdout));
        Err(unknown(&said, names.as_deref()).into())
    }

    async fn bake(
        &self,
        arguments: &[String],
        working: &Path,
        scratch: &Path,
    ) -> anyhow::Result<BuildxOutput> {
        let files: Vec<String> = self.files.iter().map(|file| format!("--file={file}")).collect();
        let mut line = vec!["bake", "--progress=quiet"];
        line.extend(files.iter().chain(arguments).map(String::as_str));
        let baked = tokio::time::timeout(TIMEOUT, run_in(working, scratch, scratch, &line)).await;
        baked.with_context(|| format!("buildx bake did not end within {} s", TIMEOUT.as_secs()))?
    }
}

/// Returns the error output without progress lines.
fn error_lines(stderr: &str) -> String {
    let progress = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let lines = stderr
        .lines()
        .filter(|line| !line.trim().is_empty() && !progress(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns whether bake did not find a target (`ResolveTarget`, `matchNames` and `expandTargets` in its bake/bake.go).
fn is_unknown_target(said: &str) -> bool {
    said.contains("failed to find target") || said.contains("could not find any target matching")
}

fn unreadable(said: &str) -> Problem {
    Problem::new(
        ErrorCode::BakeFailed,
        format!("Asked buildx bake --print what there is to build and got:\n{said}"),
        "Correct the file, or set `files`. `docker buildx bake --print` shows the same error.",
    )
}

fn unknown(said: &str, names: Option<&[String]>) -> Problem {
    let known = match names {
        Some([]) => "There are no targets.".to_owned(),
        Some(names) => format!("There are: {}.", names.join(", ")),
        None => "`docker buildx bake --list targets` lists the targets.".to_owned(),
    };
    Problem::new(
        ErrorCode::UnknownBakeTarget,
        format!("Asked buildx bake --print what there is to build and got:\n{said}"),
        format!("Correct `targets` or `set`, or the groups of the bake file. {known}"),
    )
}

/// Parses the names that `bake --list` prints, including groups.
fn names(listed: &str) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Entry {
        name: String,
    }
    // An empty list is `null`.
    let entries: Option<Vec<Entry>> = serde_json::from_str(listed).ok()?;
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
        let names = names(listed).expect("a list");
        let said = "ERROR: failed to find target nope";
        assert!(is_unknown_target(said));
        let problem = unknown(said, Some(&names));
        assert!(problem.what.contains("nope"), "{problem}");
        assert!(problem.remedy.contains("There are: api, default."), "{problem}");
        assert_eq!(super::names("null"), Some(vec![]));
        assert!(
            unknown(said, super::names("x").as_deref())
                .remedy
                .contains("--list")
        );
    }
}
