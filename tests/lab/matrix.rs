//! `matrix` with the real buildx: bake and compose files, overrides, groups, and their errors.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{LAB, Outcome, Runner, run};

/// A repository beside a runner, with one commit.
struct MatrixRepository {
    runner: Runner,
    dir: PathBuf,
}

impl MatrixRepository {
    fn new(files: &[(&str, &str)]) -> Result<Self> {
        let runner = Runner::new()?;
        let dir = runner.dir().join("shop");
        let repository = Self { runner, dir };
        repository.write(files)?;
        repository.git(&["init", "-q", "-b", "main"])?;
        repository.commit()?;
        Ok(repository)
    }

    fn write(&self, files: &[(&str, &str)]) -> Result<()> {
        for (path, text) in files {
            let path = self.dir.join(path);
            std::fs::create_dir_all(path.parent().context("a file in a dir")?)?;
            std::fs::write(path, text)?;
        }
        Ok(())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let name = ["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"];
        let mut git = Command::new("git");
        run(git.current_dir(&self.dir).args(name).args(arguments))
    }

    fn commit(&self) -> Result<()> {
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-qm", "Shop"]).map(drop)
    }

    /// Runs a step that compares with the commit before.
    fn matrix(&mut self, inputs: &[(&str, &str)]) -> Result<Outcome> {
        let mut command = self.command(inputs);
        command.env("INPUT_BASE", "HEAD~1");
        self.runner.step(command)
    }

    fn command(&self, inputs: &[(&str, &str)]) -> Command {
        let mut command = self.runner.command(crate::support::program());
        command.arg("matrix").current_dir(&self.dir);
        command.env("GITHUB_EVENT_NAME", "push");
        for (name, value) in inputs {
            command.env(format!("INPUT_{}", name.to_uppercase()), value);
        }
        command
    }

    /// Commits the files and returns the targets that this affects.
    fn affected(&mut self, files: &[(&str, &str)], inputs: &[(&str, &str)]) -> Result<Vec<String>> {
        self.write(files)?;
        self.commit()?;
        let outcome = self.matrix(inputs)?.ok()?;
        Ok(serde_json::from_str(&outcome.outputs["targets"])?)
    }
}

const BAKE: &str = r#"
variable "REGISTRY" { default = "registry.example.com" }
function "tag" {
  params = [name]
  result = "${REGISTRY}/${name}:1"
}
group "default" { targets = ["api", "tools"] }
target "base" {
  context = "base"
}
target "api" {
  context    = "api"
  contexts   = { base = "target:base", lib = "./lib" }
  dockerfile = "../docker/api.Dockerfile"
  tags       = [tag("api")]
  platforms  = ["linux/amd64", "linux/arm64"]
}
target "tools" {
  name              = "tool-${item}"
  matrix            = { item = ["a", "b"] }
  context           = "."
  args              = { TOOL = item, UNSET = null }
  dockerfile-inline = "FROM scratch\nARG TOOL\nCOPY tools/$${TOOL} /\n"
}
target "unused" { context = "unused" }
"#;

const SHOP: &[(&str, &str)] = &[
    ("docker-bake.hcl", BAKE),
    ("base/Dockerfile", "FROM scratch\nCOPY x /\n"),
    ("base/x", "1"),
    (
        "docker/api.Dockerfile",
        "FROM base\nCOPY src /src\nCOPY --from=lib c /c\n",
    ),
    ("api/src/main.go", "1"),
    ("api/README", "1"),
    ("lib/c", "1"),
    ("lib/d", "1"),
    ("tools/a/x", "1"),
    ("tools/b/x", "1"),
    ("unused/Dockerfile", "FROM scratch\n"),
];

#[test]
fn each_input_of_a_bake_definition_affects_its_targets() -> Result<()> {
    let mut shop = MatrixRepository::new(SHOP)?;
    for (file, affected) in [
        ("base/x", vec!["api"]),
        ("base/other", vec![]),
        ("docker/api.Dockerfile.dockerignore", vec!["api"]),
        ("api/src/main.go", vec!["api"]),
        ("api/README", vec![]),
        ("lib/c", vec!["api"]),
        ("lib/d", vec![]),
        ("tools/a/x", vec!["tool-a"]),
        ("tools/b/new", vec!["tool-b"]),
        ("unused/Dockerfile", vec![]),
        ("docker-bake.override.hcl", vec!["api", "tool-a", "tool-b"]),
    ] {
        let text = if file.ends_with(".hcl") { "" } else { "2\n" };
        let found = shop.affected(&[(file, text)], &[])?;
        ensure!(found == affected, "{file} affects {found:?}");
    }
    // A target requested by name, a pattern, and an override that changes the inputs.
    assert_eq!(
        shop.affected(
            &[("unused/Dockerfile", "FROM scratch\n# 2\n")],
            &[("targets", "unused,tool-*")]
        )?,
        ["unused"]
    );
    let set = [("set", "tool-a.args.TOOL=c\ntool-b.platform=linux/arm64")];
    assert_eq!(shop.affected(&[("tools/c/x", "1")], &set)?, ["tool-a"]);
    Ok(())
}

#[test]
fn entries_have_the_fields_of_the_definition() -> Result<()> {
    let mut shop = MatrixRepository::new(SHOP)?;
    shop.write(&[("base/x", "2")])?;
    shop.commit()?;
    let outcome = shop.matrix(&[])?.ok()?;
    let matrix: Value = serde_json::from_str(&outcome.outputs["matrix"])?;
    assert_eq!(
        matrix["include"],
        json!([{
            "target": "api",
            "platforms": "linux/amd64,linux/arm64",
            "cache-key": "acme/shop/api",
            "context": "api",
            "dockerfile": "docker/api.Dockerfile",
            "tags": "registry.example.com/api:1",
        }])
    );
    ensure!(
        outcome.log.contains("api     to build  links to base: base/x\n"),
        "{}",
        outcome.log
    );
    let outcome = shop.matrix(&[("per-platform", "true")])?.ok()?;
    let matrix: Value = serde_json::from_str(&outcome.outputs["matrix"])?;
    let entries = matrix["include"].as_array().context("entries")?;
    let entries: Vec<(&Value, &Value)> = entries
        .iter()
        .map(|entry| (&entry["platforms"], &entry["cache-key"]))
        .collect();
    let key = json!("acme/shop/api");
    assert_eq!(
        entries,
        [(&json!("linux/amd64"), &key), (&json!("linux/arm64"), &key)]
    );
    let mut explain = shop.command(&[]);
    let files = run(explain.arg("--explain=api"))?;
    assert_eq!(
        files.lines().collect::<Vec<_>>(),
        [
            "api/src/main.go",
            "base/Dockerfile",
            "base/x",
            "docker-bake.hcl",
            "docker/api.Dockerfile",
            "lib/c"
        ]
    );
    Ok(())
}

#[test]
fn a_compose_file_and_its_referenced_files_define_targets() -> Result<()> {
    let compose = "services:\n  db: {image: postgres}\n  api:\n    build: {context: ./api, additional_contexts: [\"web=service:web\"]}\n    env_file: api.env\n  web: {build: web}\n";
    let mut shop = MatrixRepository::new(&[
        ("compose.yaml", compose),
        ("api.env", "A=1\n"),
        ("api/Dockerfile", "FROM scratch\nCOPY --from=web / /web\n"),
        ("web/Dockerfile", "FROM scratch\nCOPY x /\n"),
        ("web/x", "1"),
        ("other/Dockerfile", "FROM scratch\n"),
    ])?;
    assert_eq!(shop.affected(&[("web/x", "2")], &[])?, ["api", "web"]);
    assert_eq!(
        shop.affected(&[("other/Dockerfile", "FROM scratch\n# 2\n")], &[])?,
        [""; 0]
    );
    assert_eq!(shop.affected(&[("api.env", "A=2\n")], &[])?, ["api", "web"]);
    // A compose file without a build defines no targets, so the Dockerfiles do.
    shop.affected(&[("compose.yaml", "services: {db: {image: postgres}}\n")], &[])?;
    assert_eq!(
        shop.affected(&[("other/Dockerfile", "FROM scratch\n# 3\n")], &[])?,
        ["other"]
    );
    Ok(())
}

#[test]
fn a_standalone_buildx_suffices() -> Result<()> {
    let mut shop = MatrixRepository::new(SHOP)?;
    shop.write(&[("lib/c", "2")])?;
    shop.commit()?;
    let bin = shop.runner.dir().join("bin");
    std::fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(LAB.bin.join("docker-buildx"), bin.join("buildx"))?;
    let git = std::env::split_paths(&std::env::var_os("PATH").context("PATH")?)
        .map(|dir| dir.join("git"))
        .find(|git| git.is_file())
        .context("git")?;
    std::os::unix::fs::symlink(git, bin.join("git"))?;
    let path = bin.to_string_lossy().into_owned();
    shop.runner.env.insert("PATH".into(), path);
    let outcome = shop.matrix(&[])?.ok()?;
    assert_eq!(outcome.outputs["targets"], r#"["api"]"#);
    std::fs::remove_file(Path::new(&bin).join("buildx"))?;
    shop.matrix(&[])?
        .expect_error("buildx not found", &["docker-buildx"])
}

#[test]
fn definition_errors_have_a_location() -> Result<()> {
    let cyclic = "target \"default\" {\n  contexts = { x = \"target:b\" }\n}\ntarget \"b\" {\n  contexts = { x = \"target:default\" }\n}\n";
    let mut shop = MatrixRepository::new(&[
        ("docker-bake.hcl", BAKE),
        ("broken.hcl", "target \"default\" {\n  context =\n}\n"),
        ("broken.yaml", "services:\n  a: [\n"),
        ("cyclic.hcl", cyclic),
    ])?;
    shop.write(&[("x", "")])?;
    shop.commit()?;
    for (inputs, title, words) in [
        (
            ("files", "broken.hcl"),
            "Cannot read the bake file",
            vec!["broken.hcl:2,12-3,1: Invalid expression"],
        ),
        (
            ("files", "broken.yaml"),
            "Cannot read the bake file",
            vec!["line 2"],
        ),
        (
            ("files", "missing.hcl"),
            "Cannot read the bake file",
            vec!["open missing.hcl: no such file"],
        ),
        (
            ("files", "cyclic.hcl"),
            "Cannot read the bake file",
            vec!["infinite loop from b to default"],
        ),
        (
            ("targets", "nope"),
            "Unknown bake target",
            vec![
                "failed to find target nope",
                "Existing targets: api, base, default, tool-a, tool-b, tools, unused.",
            ],
        ),
        (
            ("set", "nope.tags=x"),
            "Unknown bake target",
            vec!["could not find any target matching 'nope'"],
        ),
        (
            ("files", "https://example.com/bake.hcl"),
            "Invalid input",
            vec!["`files: https://example.com/bake.hcl`"],
        ),
    ] {
        let outcome = shop.matrix(&[inputs])?;
        ensure!(outcome.outputs.is_empty(), "{:?}", outcome.outputs);
        outcome.expect_error(title, &words)?;
    }
    Ok(())
}
