//! The quick start of the README: its commands and its workflow are taken from the page, and run as they are printed, with
//! only the names of the account's objects replaced, as a reader does.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::{Job, Trigger};

use crate::support::{LAB, Namespace, checkout, output, program};

const WORKFLOW: &str = ".github/workflows/build.yml";
const NAME: &str = "quick-start";

/// Returns the code blocks of a language in a section of the README.
fn blocks(section: &str, language: &str) -> Result<Vec<String>> {
    let readme = std::fs::read_to_string(root().join("README.md"))?;
    let start = readme
        .find(&format!("\n## {section}\n"))
        .with_context(|| format!("no section {section}"))?;
    let section = readme[start + 1..].split("\n## ").next().unwrap_or_default();
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    Ok(blocks
        .filter_map(|block| Some(block.split_once("```")?.0.to_owned()))
        .collect())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Replaces the names of the examples by those of the lab, with a role and a namespace of this test.
fn with_names_of_the_lab(text: &str) -> String {
    text.replace("--cluster-name shop", &format!("--cluster-name {}", LAB.cluster))
        .replace("cluster: shop\n", &format!("cluster: {}\n", LAB.cluster))
        .replace("cluster/shop", &format!("cluster/{}", LAB.cluster))
        .replace("us-west-2", &LAB.region)
        .replace("role/ci", &format!("role/{NAME}"))
        .replace("--role-name ci", &format!("--role-name {NAME}"))
        .replace("namespace: buildkit", &format!("namespace: {NAME}"))
        .replace("  name: buildkit\n", &format!("  name: {NAME}\n"))
        .replace("--namespace buildkit", &format!("--namespace {NAME}"))
        .replace("registry.example.com", &LAB.registry)
}

/// Copies a directory with the names replaced.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            std::fs::write(to, with_names_of_the_lab(&std::fs::read_to_string(&path)?))?;
        }
    }
    Ok(())
}

/// Runs the commands in a clone of this repository, as an administrator of the account and the cluster.
fn run_as_administrator(script: &str) -> Result<()> {
    let clone = tempfile::tempdir()?;
    copy(&root().join("examples"), &clone.path().join("examples"))?;
    let dist = clone.path().join("dist");
    std::fs::create_dir(&dist)?;
    for name in ["remote-buildkit-linux-x64", "remote-buildkit-linux-arm64"] {
        std::os::unix::fs::symlink(program(), dist.join(name))?;
    }
    let aws = LAB.aws_cli.parent().context("a directory")?;
    let output = output(
        Command::new("sh")
            .args(["-euxc", script])
            .current_dir(clone.path())
            .env_clear()
            .env("HOME", clone.path())
            .env(
                "PATH",
                format!("{}:{}:/usr/bin:/bin", LAB.bin.display(), aws.display()),
            )
            .env("KUBECONFIG", &LAB.admin_kubeconfig)
            .env("AWS_ENDPOINT_URL", &LAB.aws_endpoint)
            .env("AWS_DEFAULT_REGION", &LAB.region)
            .env("AWS_PAGER", "")
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]),
    )?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Removes what an earlier run of this test on the same lab left in the account.
fn remove_role() -> Result<()> {
    run_as_administrator(&format!(
        "aws iam delete-role-policy --role-name {NAME} --policy-name remote-buildkit || true\n\
         aws iam delete-role --role-name {NAME} || true\n\
         aws eks delete-access-entry --cluster-name {} --principal-arn arn:aws:iam::{}:role/{NAME} || true",
        LAB.cluster, LAB.account
    ))
}

#[test]
fn commands_and_workflow_of_the_readme_build_an_image() -> Result<()> {
    // The quick start creates it.
    let _namespace = Namespace(NAME.to_owned());

    let commands = blocks("Quick start", "sh")?;
    let [commands] = commands.as_slice() else {
        anyhow::bail!("not one block of commands: {commands:?}");
    };
    // The lab's account has the identity provider already: the page says that it is needed once.
    let provider = "aws iam create-open-id-connect-provider";
    let mut script = Vec::new();
    for line in with_names_of_the_lab(commands).lines() {
        script.push(if line.starts_with(provider) {
            format!("{line} 2>&1 | grep EntityAlreadyExists")
        } else {
            line.to_owned()
        });
    }
    ensure!(script.iter().any(|line| line.starts_with(provider)), "{script:?}");
    remove_role()?;
    run_as_administrator(&script.join("\n"))?;

    let workflows = blocks("Quick start", "yaml")?;
    let [workflow] = workflows.as_slice() else {
        anyhow::bail!("not one workflow: {workflows:?}");
    };
    let workflow = with_names_of_the_lab(workflow);
    let dockerfile = format!("FROM {}/busybox\nRUN echo built\n", LAB.registry);
    let repository = checkout(&[(WORKFLOW, &workflow), ("Dockerfile", &dockerfile)])?;
    let run = || -> Result<String> {
        let trigger = Trigger {
            event: "push",
            payload: "{}",
            env: &[],
        };
        Ok(Job::of_event(&LAB, &repository, WORKFLOW, &trigger, |_| {})?
            .ok()?
            .log)
    };
    let first = run()?;
    ensure!(
        first.contains(&format!("Found agent {NAME}/remote-buildkit-agent")),
        "{first}"
    );
    ensure!(first.contains("pushing manifest for"), "{first}");
    ensure!(!first.contains("CACHED"), "{first}");
    let second = run()?;
    ensure!(second.contains("CACHED"), "{second}");
    Ok(())
}
