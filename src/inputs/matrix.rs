//! The inputs of `matrix`.

use super::Faults;
use super::lists::entries;
use crate::cli::MatrixArgs;
use crate::matrix::ignore::Patterns;
use crate::problem::Problem;
use crate::secret::Secret;

/// Everything `matrix` is asked.
#[derive(Debug)]
pub struct Matrix {
    pub files: Vec<String>,
    pub targets: Vec<String>,
    pub set: Vec<String>,
    /// Where Dockerfiles are looked for, bake file or not.
    pub pattern: Vec<String>,
    pub workdir: String,
    pub base: Option<String>,
    pub per_platform: bool,
    pub token: Option<Secret>,
    /// The target of which the files are asked for.
    pub explain: Option<String>,
    pub json: bool,
}

pub fn matrix(args: &MatrixArgs) -> Result<Matrix, Problem> {
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
        json,
    } = args;
    let mut faults = Faults::default();
    let list = |text: &Option<String>| -> Vec<String> {
        let entries = text.as_deref().map(entries);
        entries.into_iter().flatten().map(str::to_owned).collect()
    };
    let (files, targets, pattern) = (list(files), list(targets), list(pattern));
    for file in files.iter().filter(|file| !is_local(file)) {
        faults.add(
            "files",
            file,
            "a file on this machine: definitions from elsewhere are not planned for",
        );
    }
    for target in targets.iter().filter(|target| !is_target(target)) {
        let allowed = "the name of a target or group, or a pattern of names such as api-*";
        faults.add("targets", target, allowed);
    }
    let lines = set.iter().flat_map(|text| text.lines());
    let lines = lines.map(str::trim).filter(|line| !line.is_empty());
    let set: Vec<String> = lines.map(str::to_owned).collect();
    for entry in set.iter().filter(|entry| !is_override(entry)) {
        faults.add("set", entry, "TARGET.KEY=VALUE, such as *.platform=linux/amd64");
    }
    if Patterns::new(&pattern).is_none() {
        let allowed = "patterns as in a .dockerignore, such as services/*/Dockerfile";
        faults.add("pattern", &pattern.join(","), allowed);
    }
    let of_bake = !files.is_empty() || !set.is_empty();
    if of_bake && !pattern.is_empty() {
        let allowed = "where Dockerfiles are looked for there is no bake file, so neither `files` nor `set`";
        faults.add("pattern", &pattern.join(","), allowed);
    }
    if let Some(base) = base {
        let fine = !base.starts_with('-') && !base.contains(|c: char| c.is_whitespace() || c.is_control());
        faults.check(fine, "base", base, "a commit, a branch or a tag");
    }
    let fine = ["true", "false"].contains(&per_platform.as_str());
    faults.check(fine, "per-platform", per_platform, "true or false");
    faults.finish(Some(Matrix {
        files,
        targets,
        set,
        pattern,
        workdir: workdir.clone(),
        base: base.clone(),
        per_platform: per_platform == "true",
        token: github_token.clone(),
        explain: explain.clone(),
        json: *json,
    }))
}

/// `-` is standard input, which is read once, and other schemes than buildx's own for local files are remote.
fn is_local(file: &str) -> bool {
    let path = file.strip_prefix("cwd://").unwrap_or(file);
    path != "-" && !path.contains("://") && !path.starts_with("git@")
}

/// What `targetNamePattern` and `matchNames` in buildx's bake/bake.go take, and the dots of compose's services.
fn is_target(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.*?[]^".contains(c);
    !name.starts_with('-') && name.chars().all(allowed)
}

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

    fn plan(flags: &[&str]) -> Result<Matrix, Problem> {
        let line = ["remote-buildkit", "matrix"].iter().chain(flags);
        match Cli::parse_from(line).command {
            Command::Matrix(args) => matrix(&args),
            other => panic!("not matrix: {other:?}"),
        }
    }

    /// Every input with something wrong: its name and value are shown, and what is allowed.
    #[test]
    fn every_bad_input_is_named_at_once() {
        let bad = [
            ("files", "https://example.com/bake.hcl", "a file on this machine"),
            (
                "targets",
                "https://github.com/acme/shop.git",
                "the name of a target or group",
            ),
            ("set", "platform=linux/amd64", "TARGET.KEY=VALUE"),
            ("pattern", "[", "as in a .dockerignore"),
            ("base", "-x", "a commit, a branch or a tag"),
            ("per-platform", "yes", "true or false"),
        ];
        let flags: Vec<String> = bad
            .iter()
            .map(|(input, value, _)| format!("--{input}={value}"))
            .collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let error = plan(&flags).expect_err("all of it is bad").what;
        for (input, value, allowed) in bad {
            let shown = format!("`{input}: {value}`: ");
            let fault = error.split("\n- ").find(|fault| fault.starts_with(&shown));
            let fault = fault.unwrap_or_else(|| panic!("{input} is not in {error}"));
            assert!(fault.contains(allowed), "{allowed} is not in {fault}");
        }
        let cli = Cli::command();
        let flags = cli.find_subcommand("matrix").expect("matrix").get_arguments();
        let untried: Vec<&str> = flags
            .filter_map(|arg| arg.get_long())
            .filter(|name| bad.iter().all(|(input, ..)| input != name))
            .collect();
        // A folder is looked for later, and any text may be a token or a target; a flag without a value has no wrong one.
        assert_eq!(untried, ["workdir", "github-token", "explain", "json"]);
    }

    #[test]
    fn lists_are_as_in_dockers_actions() {
        let asked = plan(&[
            "--files=a.hcl, cwd://b.json\nc.yml",
            "--targets=api,web-*\nm.x",
            "--set=*.platform=linux/amd64,linux/arm64\n\nweb.args.A=b c\n",
            "--per-platform=true",
        ])
        .expect("good");
        assert_eq!(asked.files, ["a.hcl", "cwd://b.json", "c.yml"]);
        assert_eq!(asked.targets, ["api", "web-*", "m.x"]);
        assert_eq!(
            asked.set,
            ["*.platform=linux/amd64,linux/arm64", "web.args.A=b c"]
        );
        assert!(asked.per_platform && asked.workdir == ".");
    }

    #[test]
    fn a_pattern_goes_without_a_bake_file() {
        for other in ["--files=a.hcl", "--set=*.x=y"] {
            let error = plan(&["--pattern=**/Dockerfile", other]).expect_err(other).what;
            assert!(error.contains("neither `files` nor `set`"), "{error}");
        }
        assert!(plan(&["--pattern=**/Dockerfile", "--targets=a"]).is_ok());
    }
}
