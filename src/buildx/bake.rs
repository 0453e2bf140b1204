//! `buildx bake --print`: reads bake and compose files, without a builder and without a network.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::run::{Output, run_in};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// What bake is asked for, as its flags.
#[derive(Debug, Clone, Default)]
pub struct Bake {
    pub files: Vec<String>,
    pub targets: Vec<String>,
    /// `TARGET.KEY=VALUE` each.
    pub overrides: Vec<String>,
}

/// It reads a few files.
const WITHIN: Duration = Duration::from_secs(60);

impl Bake {
    /// The definition in JSON. buildx runs in `working`; what it writes goes into `scratch`, which is the caller's to
    /// remove.
    pub async fn print(&self, working: &Path, scratch: &Path) -> anyhow::Result<String> {
        let overrides = self.overrides.iter().map(|one| format!("--set={one}"));
        let mut arguments = vec!["--print".to_owned()];
        arguments.extend(overrides);
        // What begins with a dash is no flag behind it.
        arguments.push("--".into());
        arguments.extend(self.targets.iter().cloned());
        let output = self.bake(&arguments, working, scratch).await?;
        if output.succeeded {
            return Ok(output.stdout);
        }
        let said = said(&output.stderr);
        if !is_unknown(&said) {
            return Err(unreadable(&said).into());
        }
        let list = ["--list=type=targets,format=json".to_owned()];
        let listed = self.bake(&list, working, scratch).await;
        let names = listed.ok().and_then(|output| names(&output.stdout));
        Err(unknown(&said, names.as_deref()).into())
    }

    async fn bake(&self, arguments: &[String], working: &Path, scratch: &Path) -> anyhow::Result<Output> {
        let files: Vec<String> = self.files.iter().map(|file| format!("--file={file}")).collect();
        let mut line = vec!["bake", "--progress=quiet"];
        line.extend(files.iter().chain(arguments).map(String::as_str));
        let baked = tokio::time::timeout(WITHIN, run_in(working, scratch, scratch, &line)).await;
        baked.with_context(|| format!("buildx bake does not end within {} s", WITHIN.as_secs()))?
    }
}

/// buildx's own words, without its progress.
fn said(stderr: &str) -> String {
    let progress = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let lines = stderr
        .lines()
        .filter(|line| !line.trim().is_empty() && !progress(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// `ResolveTarget`, `matchNames` and `expandTargets` in its bake/bake.go.
fn is_unknown(said: &str) -> bool {
    said.contains("failed to find target") || said.contains("could not find any target matching")
}

fn unreadable(said: &str) -> Problem {
    Problem::new(
        ErrorCode::BakeFailed,
        format!("Asked buildx bake --print what there is to build and got:\n{said}"),
        "Correct the file, or say with `files` which ones there are; `docker buildx bake --print` shows the same.",
    )
}

fn unknown(said: &str, names: Option<&[String]>) -> Problem {
    let there_are = match names {
        Some([]) => "There are none.".to_owned(),
        Some(names) => format!("There are: {}.", names.join(", ")),
        None => "See `docker buildx bake --list targets`.".to_owned(),
    };
    Problem::new(
        ErrorCode::UnknownBakeTarget,
        format!("Asked buildx bake --print what there is to build and got:\n{said}"),
        format!("Correct `targets` or `set`, or the groups of the bake file. {there_are}"),
    )
}

/// Of `bake --list`, groups included.
fn names(listed: &str) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Entry {
        name: String,
    }
    // Nothing is `null`.
    let entries: Option<Vec<Entry>> = serde_json::from_str(listed).ok()?;
    Some(entries.into_iter().flatten().map(|entry| entry.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_buildx_are_told_from_its_progress() {
        let stderr = "#1 [internal] load local bake definitions\n#1 DONE 0.0s\n\nbake.hcl:2\n# a comment\nERROR: bake.hcl:2,13-3,1: Invalid expression\n";
        assert_eq!(
            said(stderr),
            "bake.hcl:2\n# a comment\nERROR: bake.hcl:2,13-3,1: Invalid expression"
        );
    }

    #[test]
    fn an_unknown_target_is_answered_with_those_that_there_are() {
        let listed = r#"[{"name": "api"}, {"name": "default", "description": "api", "group": true}]"#;
        let names = names(listed).expect("a list");
        let said = "ERROR: failed to find target nope";
        assert!(is_unknown(said));
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
