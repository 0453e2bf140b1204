//! `matrix` in repositories without a bake file: runs the program with git, without buildx and without a network.
//! `tests/lab/matrix.rs` has the tests with buildx.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use regex_lite::Regex;
use serde_json::{Value, json};

/// A Git repository in a temporary directory.
struct Repository(tempfile::TempDir);

impl Repository {
    fn new(files: &[(&str, &str)]) -> Result<Self> {
        let repository = Self(tempfile::tempdir()?);
        repository.write(files)?;
        repository.git(&["init", "-q", "-b", "main"])?;
        repository.commit()?;
        Ok(repository)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, files: &[(&str, &str)]) -> Result<()> {
        for (path, text) in files {
            let path = self.path().join(path);
            std::fs::create_dir_all(path.parent().context("a file in a directory")?)?;
            std::fs::write(path, text)?;
        }
        Ok(())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let name = ["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"];
        let mut git = Command::new("git");
        git.current_dir(self.path()).args(name).args(arguments);
        let output = git.output()?;
        ensure!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Commits all files and returns the commit's id.
    fn commit(&self) -> Result<String> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-q", "--allow-empty", "-m", "Shop"])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Returns the program with an environment that has nothing of this machine except git.
    fn matrix(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remote-buildkit"));
        command
            .arg("matrix")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path());
        command
    }

    /// Runs the program as a step of a job that a push started.
    fn step(&self, before: &str, after: &str, inputs: &[(&str, &str)]) -> Result<Step> {
        let dir = tempfile::tempdir()?;
        let file = |name: &str| dir.path().join(name);
        let event = json!({"before": before, "after": after, "forced": false, "ref": "refs/heads/main"});
        std::fs::write(file("event.json"), event.to_string())?;
        let mut command = self.matrix(&[]);
        for (name, value) in [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_EVENT_NAME", "push"),
            ("GITHUB_SHA", after),
        ] {
            command.env(name, value);
        }
        for (name, path) in [
            ("GITHUB_OUTPUT", file("output")),
            ("GITHUB_STEP_SUMMARY", file("summary")),
            ("GITHUB_EVENT_PATH", file("event.json")),
            ("GITHUB_WORKSPACE", self.path().to_owned()),
            ("RUNNER_TEMP", dir.path().to_owned()),
        ] {
            command.env(name, path);
        }
        for (name, value) in inputs {
            command.env(format!("INPUT_{}", name.to_uppercase()), value);
        }
        let output = command.output()?;
        Ok(Step {
            code: output.status.code(),
            log: String::from_utf8(output.stdout)?,
            outputs: outputs(&file("output"))?,
            summary: std::fs::read_to_string(file("summary")).unwrap_or_default(),
        })
    }
}

/// The result of a step.
struct Step {
    code: Option<i32>,
    log: String,
    outputs: BTreeMap<String, String>,
    summary: String,
}

impl Step {
    fn entries(&self) -> Result<Vec<Value>> {
        let matrix = self.outputs.get("matrix").with_context(|| self.log.clone())?;
        let matrix: Value = serde_json::from_str(matrix)?;
        Ok(matrix["include"].as_array().context("no include")?.clone())
    }
}

/// Parses the outputs of a step: `name<<delimiter`, value, delimiter.
fn outputs(file: &PathBuf) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut outputs = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (name, delimiter) = line.split_once("<<").context("a line without a delimiter")?;
        let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
        outputs.insert(name.to_owned(), value.join("\n"));
    }
    Ok(outputs)
}

const SHOP: &[(&str, &str)] = &[
    ("Dockerfile", "FROM scratch\nCOPY README.md /\n"),
    ("README.md", "shop"),
    ("services/api/Dockerfile", "FROM scratch\nCOPY src /src\n"),
    ("services/api/.dockerignore", "**/*_test.go\n"),
    ("services/api/src/main.go", "package main"),
    ("services/web/Dockerfile", "FROM scratch\nCOPY . /\n"),
    (
        "services/web/Dockerfile.debug",
        "FROM scratch\nCOPY index.html debug.html /\n",
    ),
    ("services/web/index.html", "<html>"),
    ("services/web/debug.html", "<html>"),
    (".gitignore", "vendored/\n"),
    ("vendored/Dockerfile", "FROM scratch\n"),
];

/// Returns the shop with a change of two images, and the commits before and after it.
fn shop_with_a_change() -> Result<(Repository, String, String)> {
    let shop = Repository::new(SHOP)?;
    let before = shop.git(&["rev-parse", "HEAD"])?;
    shop.write(&[
        ("services/api/src/main.go", "package api"),
        ("services/web/index.html", "<body>"),
    ])?;
    let after = shop.commit()?;
    Ok((shop, before, after))
}

#[test]
fn a_push_builds_the_affected_targets_with_their_reasons() -> Result<()> {
    let (shop, before, after) = shop_with_a_change()?;
    let step = shop.step(&before, &after, &[])?;
    ensure!(step.code == Some(0), "{}", step.log);
    assert_eq!(
        step.entries()?[0],
        json!({
            "target": "services-api",
            "platforms": "",
            "cache-key": "acme/shop/services-api",
            "context": "services/api",
            "dockerfile": "services/api/Dockerfile",
            "tags": "",
        })
    );
    assert_eq!(
        step.outputs["targets"],
        r#"["services-api","services-web","services-web-debug"]"#
    );
    assert_eq!(
        (
            step.outputs["any"].as_str(),
            step.outputs["changed-files"].as_str()
        ),
        ("true", "2")
    );
    let reason = format!(
        "3 of 4 targets to build: 2 files changed between {} and {}.",
        &before[..12],
        &after[..12]
    );
    assert_eq!(step.outputs["reason"], reason);
    for line in [
        "services-api        to build  services/api/src/main.go\n",
        "services-web-debug  to build  services/web/index.html\n",
        "shop                skipped\n",
    ] {
        ensure!(step.log.contains(line), "{line} is not in {}", step.log);
    }
    ensure!(
        step.summary
            .contains("| <code>services-api</code> | to build | <code>services/api/src/main.go</code> |"),
        "{}",
        step.summary
    );
    ensure!(
        step.summary.contains("| <code>shop</code> | skipped |  |"),
        "{}",
        step.summary
    );
    Ok(())
}

#[test]
fn nothing_to_build_is_not_an_error() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    let before = shop.git(&["rev-parse", "HEAD"])?;
    shop.write(&[
        ("services/api/src/main_test.go", ""),
        ("services/api/src/x_test.go", ""),
        ("docs/x.md", ""),
    ])?;
    let after = shop.commit()?;
    let step = shop.step(&before, &after, &[])?;
    ensure!(step.code == Some(0), "{}", step.log);
    assert_eq!(step.outputs["matrix"], r#"{"include":[]}"#);
    assert_eq!(
        (step.outputs["targets"].as_str(), step.outputs["any"].as_str()),
        ("[]", "false")
    );
    ensure!(
        step.outputs["reason"].starts_with("Nothing to build: 3 files changed"),
        "{:?}",
        step.outputs
    );
    Ok(())
}

#[test]
fn an_uncertain_change_builds_all_targets_with_the_reason() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    let before = shop.git(&["rev-parse", "HEAD"])?;
    shop.write(&[(".github/workflows/ci.yml", "on: push\n")])?;
    let workflow = shop.commit()?;
    let zero = "0".repeat(40);
    for (before, named) in [(before.as_str(), ".github/workflows/ci.yml"), (&zero, "")] {
        let step = shop.step(before, &workflow, &[])?;
        ensure!(step.code == Some(0), "{}", step.log);
        assert_eq!(step.entries()?.len(), 4);
        let reason = &step.outputs["reason"];
        ensure!(
            reason.starts_with("All 4 targets to build: ") && reason.contains(named),
            "{reason}"
        );
        ensure!(step.log.contains(reason), "{}", step.log);
        ensure!(
            step.summary.contains("All 4 targets to build"),
            "{}",
            step.summary
        );
    }
    Ok(())
}

#[test]
fn an_invalid_dockerfile_is_built_with_a_warning_that_has_its_line() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    let before = shop.git(&["rev-parse", "HEAD"])?;
    shop.write(&[("services/api/Dockerfile", "FROM scratch\n\nCOPYY src /src\n")])?;
    let broken = shop.commit()?;
    shop.write(&[("docs/x.md", "")])?;
    let after = shop.commit()?;
    ensure!(before != broken, "nothing was committed");
    let step = shop.step(&broken, &after, &[])?;
    ensure!(step.code == Some(0), "{}", step.log);
    assert_eq!(step.outputs["targets"], r#"["services-api"]"#);
    ensure!(
        step.log
            .contains("::warning title=Cannot parse Dockerfile::services/api/Dockerfile:3: "),
        "{}",
        step.log
    );
    Ok(())
}

#[test]
fn pattern_and_targets_select_dockerfiles() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    let zero = "0".repeat(40);
    let head = shop.git(&["rev-parse", "HEAD"])?;
    let to_build = |inputs: &[(&str, &str)]| -> Result<String> {
        let step = shop.step(&zero, &head, inputs)?;
        Ok(step
            .outputs
            .get("targets")
            .with_context(|| step.log.clone())?
            .clone())
    };
    assert_eq!(
        to_build(&[("pattern", "**/Dockerfile\n!services/api/**")])?,
        r#"["services-web","shop"]"#
    );
    assert_eq!(
        to_build(&[("targets", "services-web*,shop")])?,
        r#"["services-web","services-web-debug","shop"]"#
    );
    assert_eq!(
        to_build(&[("workdir", "services/web")])?,
        r#"["services-web","services-web-debug"]"#
    );
    Ok(())
}

#[test]
fn errors_have_a_remedy() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    let empty = Repository::new(&[("README.md", "")])?;
    let zero = "0".repeat(40);
    for (repository, inputs, words) in [
        (
            &shop,
            ("targets", "nope"),
            ["title=Unknown target::", "Use one of: services-api, services-web"],
        ),
        (
            &shop,
            ("workdir", "nowhere"),
            ["title=Working directory not found::", "actions/checkout"],
        ),
        (
            &empty,
            ("workdir", "."),
            ["title=No targets found::", "among 1 file"],
        ),
        (&shop, ("base", "-x"), ["title=Invalid input::", "`base: -x`"]),
    ] {
        let step = repository.step(&zero, &zero, &[inputs])?;
        assert_eq!(step.code, Some(1), "{}", step.log);
        for word in words {
            ensure!(step.log.contains(word), "{word} is not in {}", step.log);
        }
        ensure!(step.outputs.is_empty(), "{:?}", step.outputs);
    }
    Ok(())
}

#[test]
fn outside_a_job_base_and_explain_read_the_working_tree() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    shop.write(&[
        ("services/api/src/new.go", ""),
        ("services/api/src/new_test.go", ""),
    ])?;
    let run = |arguments: &[&str]| -> Result<(String, String)> {
        let output = shop.matrix(arguments).output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok((
            String::from_utf8(output.stdout)?,
            String::from_utf8(output.stderr)?,
        ))
    };
    let (table, _) = run(&["--base=HEAD"])?;
    ensure!(
        table.contains("services-api        to build  services/api/src/new.go\n"),
        "{table}"
    );
    let (json, log) = run(&["--base=HEAD", "--json"])?;
    let matrix: Value = serde_json::from_str(&json)?;
    assert_eq!(matrix["include"][0]["cache-key"], "services-api");
    ensure!(log.contains("1 of 4 targets to build"), "{log}");
    let (files, _) = run(&["--explain", "services-api"])?;
    assert_eq!(
        files,
        "services/api/.dockerignore\nservices/api/Dockerfile\nservices/api/src/main.go\nservices/api/src/new.go\n"
    );
    let unknown = shop.matrix(&["--explain=nope"]).output()?;
    ensure!(!unknown.status.success());
    let stderr = String::from_utf8(unknown.stderr)?;
    ensure!(
        stderr.contains("error: Unknown target") && stderr.contains("Use one of: "),
        "{stderr}"
    );
    Ok(())
}

/// actions/checkout leaves no clone on a runner without Git.
#[test]
fn without_a_clone_all_targets_are_built() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    std::fs::remove_dir_all(shop.path().join(".git"))?;
    let step = shop.step(&"0".repeat(40), &"1".repeat(40), &[])?;
    ensure!(step.code == Some(0), "{}", step.log);
    // Without Git it is unknown which files are ignored.
    assert_eq!(step.entries()?.len(), 5);
    Ok(())
}

#[test]
fn without_git_a_clone_cannot_be_read() -> Result<()> {
    let shop = Repository::new(SHOP)?;
    let mut matrix = shop.matrix(&["--base", "HEAD"]);
    let output = matrix.env("PATH", shop.path()).output()?;
    ensure!(!output.status.success());
    let stderr = String::from_utf8(output.stderr)?;
    ensure!(
        stderr.contains("where no Git clone can be read") && stderr.contains("on a machine with git"),
        "{stderr}"
    );
    Ok(())
}

/// Returns a log without seconds and without the ids of commits.
fn normalized(log: &str) -> Result<String> {
    let seconds = Regex::new(r"\(\d+\.\d+ s\)")?
        .replace_all(log, "(N s)")
        .into_owned();
    let commits = Regex::new(r"\b[0-9a-f]{12,40}\b")?.replace_all(&seconds, "COMMIT");
    Ok(commits.into_owned())
}

/// The whole log and the summary of a job, and what a person gets from each form of output.
#[test]
fn logs_and_output() -> Result<()> {
    let (shop, before, after) = shop_with_a_change()?;
    let step = shop.step(&before, &after, &[])?;
    let job = format!("{}\n== summary\n{}", step.log, step.summary);
    insta::assert_snapshot!("log_of_a_job", normalized(&job)?);
    let unknown = shop.step(&"0".repeat(40), &after, &[])?;
    insta::assert_snapshot!("log_of_a_job_for_a_new_branch", normalized(&unknown.log)?);

    let mut text = String::new();
    for arguments in [
        &["--base", "HEAD~1"][..],
        &["--base", "HEAD~1", "--output", "json"],
        &["--base", "HEAD~1", "--output", "yaml"],
        &["--explain", "services-api"],
    ] {
        let output = shop.matrix(arguments).output()?;
        let log = [
            b"-- standard output\n",
            &output.stdout[..],
            b"-- standard error\n",
            &output.stderr,
        ]
        .concat();
        text += &format!("== matrix {}\n{}\n", arguments.join(" "), String::from_utf8(log)?);
    }
    insta::assert_snapshot!("output_for_a_person", normalized(&text)?);
    Ok(())
}
