//! Validates the inputs of `matrix`.

use super::lists::entries;
use super::validation::ValidationErrors;
use crate::cli::{MatrixArgs, OutputFormat};
use crate::matrix::ignore::PatternList;
use crate::problem::Problem;
use crate::secret::Secret;

/// The inputs of `matrix`, validated.
#[derive(Debug)]
pub struct MatrixInputs {
    pub files: Vec<String>,
    pub targets: Vec<String>,
    pub set: Vec<String>,
    /// Patterns that match Dockerfiles. If there are any, bake files are ignored.
    pub pattern: Vec<String>,
    pub workdir: String,
    pub base: Option<String>,
    pub per_platform: bool,
    pub token: Option<Secret>,
    /// The target whose input files to print.
    pub explain: Option<String>,
    pub format: OutputFormat,
}

/// Validates the inputs of `matrix`, and reports all invalid values at once.
pub fn matrix(args: &MatrixArgs) -> Result<MatrixInputs, Problem> {
    let MatrixArgs {
        files,
        targets,
        set,
        pattern,
        workdir,
        base,
        per_platform,
        github_token,
        explain,
        output,
    } = args;
    let mut errors = ValidationErrors::default();
    let list = |text: &Option<String>| -> Vec<String> {
        let entries = text.as_deref().map(entries);
        entries.into_iter().flatten().map(str::to_owned).collect()
    };
    let (files, targets, pattern) = (list(files), list(targets), list(pattern));
    for file in files.iter().filter(|file| !is_local(file)) {
        errors.add(
            "files",
            file,
            "must be a local file; remote definitions are not supported",
        );
    }
    for target in targets.iter().filter(|target| !is_target(target)) {
        let allowed = "must be the name of a target or group, or a pattern such as api-*";
        errors.add("targets", target, allowed);
    }
    let lines = set.iter().flat_map(|text| text.lines());
    let lines = lines.map(str::trim).filter(|line| !line.is_empty());
    let set: Vec<String> = lines.map(str::to_owned).collect();
    for entry in set.iter().filter(|entry| !is_override(entry)) {
        errors.add(
            "set",
            entry,
            "must be TARGET.KEY=VALUE, such as *.platform=linux/amd64",
        );
    }
    if PatternList::new(&pattern).is_none() {
        let allowed = "must be patterns in .dockerignore syntax, such as services/*/Dockerfile";
        errors.add("pattern", &pattern.join(","), allowed);
    }
    let uses_bake = !files.is_empty() || !set.is_empty();
    if uses_bake && !pattern.is_empty() {
        let allowed = "`pattern` replaces the bake file, so it cannot be combined with `files` or `set`";
        errors.add("pattern", &pattern.join(","), allowed);
    }
    let base = base.as_ref().filter(|base| !base.is_empty());
    if let Some(base) = base {
        let is_valid =
            !base.starts_with('-') && !base.contains(|c: char| c.is_whitespace() || c.is_control());
        errors.check(is_valid, "base", base, "must be a commit, a branch or a tag");
    }
    let is_valid = ["true", "false"].contains(&per_platform.as_str());
    errors.check(is_valid, "per-platform", per_platform, "must be true or false");
    errors.finish(Some(MatrixInputs {
        files,
        targets,
        set,
        pattern,
        workdir: workdir.clone(),
        base: base.cloned(),
        per_platform: per_platform == "true",
        token: github_token.clone(),
        explain: explain.clone(),
        format: output.format(),
    }))
}

/// Returns whether a bake file is local. `-` is standard input, which can be read only once. Every scheme except
/// buildx's `cwd://` is remote.
fn is_local(file: &str) -> bool {
    let path = file.strip_prefix("cwd://").unwrap_or(file);
    path != "-" && !path.contains("://") && !path.starts_with("git@")
}

/// Returns whether `targetNamePattern` and `matchNames` in buildx's bake/bake.go accept the name. Compose services
/// may also contain dots.
fn is_target(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.*?[]^".contains(c);
    !name.starts_with('-') && name.chars().all(allowed)
}

/// Returns whether the text has the form TARGET.KEY=VALUE.
fn is_override(entry: &str) -> bool {
    let key = entry.split_once('=').map_or(entry, |(key, _)| key);
    key.split_once('.')
        .is_some_and(|(target, key)| !target.is_empty() && !key.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::{Cli, Command};

    fn validate(flags: &[&str]) -> Result<MatrixInputs, Problem> {
        let line = ["remote-buildkit", "matrix"].iter().chain(flags);
        match Cli::parse_from(line).command {
            Command::Matrix(args) => matrix(&args),
            other => panic!("not matrix: {other:?}"),
        }
    }

    /// Each invalid input is shown with its name, its value and the allowed values.
    #[test]
    fn all_invalid_inputs_are_reported_at_once() {
        let invalid = [
            ("files", "https://example.com/bake.hcl", "must be a local file"),
            (
                "targets",
                "https://github.com/acme/shop.git",
                "must be the name of a target or group",
            ),
            ("set", "platform=linux/amd64", "must be TARGET.KEY=VALUE"),
            ("pattern", "[", "must be patterns in .dockerignore syntax"),
            ("base", "-x", "must be a commit, a branch or a tag"),
            ("per-platform", "yes", "must be true or false"),
        ];
        let flags: Vec<String> = invalid
            .iter()
            .map(|(input, value, _)| format!("--{input}={value}"))
            .collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let error = validate(&flags).expect_err("all inputs are invalid").what;
        for (input, value, allowed) in invalid {
            let shown = format!("`{input}: {value}`: ");
            let line = error.split("\n- ").find(|line| line.starts_with(&shown));
            let line = line.unwrap_or_else(|| panic!("{input} is not in {error}"));
            assert!(line.contains(allowed), "{allowed} is not in {line}");
        }
        let cli = Cli::command();
        let flags = cli.find_subcommand("matrix").expect("matrix").get_arguments();
        let untested: Vec<&str> = flags
            .filter_map(|arg| arg.get_long())
            .filter(|name| invalid.iter().all(|(input, ..)| input != name))
            .collect();
        // The directory is opened later, any text may be a token or a target, and a flag without a value cannot be
        // invalid.
        assert_eq!(untested, ["workdir", "github-token", "explain", "output", "json"]);
    }

    #[test]
    fn lists_are_parsed_as_in_docker_actions() {
        let inputs = validate(&[
            "--files=a.hcl, cwd://b.json\nc.yml",
            "--targets=api,web-*\nm.x",
            "--set=*.platform=linux/amd64,linux/arm64\n\nweb.args.A=b c\n",
            "--per-platform=true",
        ])
        .expect("good");
        assert_eq!(inputs.files, ["a.hcl", "cwd://b.json", "c.yml"]);
        assert_eq!(inputs.targets, ["api", "web-*", "m.x"]);
        assert_eq!(
            inputs.set,
            ["*.platform=linux/amd64,linux/arm64", "web.args.A=b c"]
        );
        assert!(inputs.per_platform && inputs.workdir == ".");
    }

    #[test]
    fn an_empty_base_counts_as_absent() {
        assert_eq!(validate(&["--base="]).expect("good").base, None);
        assert_eq!(
            validate(&["--base=main"]).expect("good").base.as_deref(),
            Some("main")
        );
    }

    #[test]
    fn a_pattern_cannot_be_combined_with_a_bake_file() {
        for other in ["--files=a.hcl", "--set=*.x=y"] {
            let error = validate(&["--pattern=**/Dockerfile", other])
                .expect_err(other)
                .what;
            assert!(
                error.contains("cannot be combined with `files` or `set`"),
                "{error}"
            );
        }
        assert!(validate(&["--pattern=**/Dockerfile", "--targets=a"]).is_ok());
    }
}
