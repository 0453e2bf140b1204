//! The quick start of the README, and the steps of docs/setup.md: their commands and the workflow are taken from the pages, and
//! run as they are printed, with only the names replaced, as a reader does.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use lab::{Job, Trigger};

use crate::support::{LAB, Namespace, Runner, checkout, output, program};

const WORKFLOW: &str = ".github/workflows/build.yml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the code blocks of a language in a section of a page.
fn blocks(page: &str, section: &str, language: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join(page))?;
    let start = text
        .find(&format!("\n## {section}\n"))
        .with_context(|| format!("{page} has no section {section}"))?;
    let section = text[start + 1..].split("\n## ").next().unwrap_or_default();
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    Ok(blocks
        .filter_map(|block| Some(block.split_once("```")?.0.to_owned()))
        .collect())
}

/// Replaces the names of the examples by those of the lab, with a role and a namespace of this name.
fn with_names_of_the_lab(text: &str, name: &str) -> String {
    text.replace("--cluster-name shop", &format!("--cluster-name {}", LAB.cluster))
        .replace("--cluster shop", &format!("--cluster {}", LAB.cluster))
        .replace("cluster: shop\n", &format!("cluster: {}\n", LAB.cluster))
        .replace("cluster/shop", &format!("cluster/{}", LAB.cluster))
        .replace("us-west-2", &LAB.region)
        .replace("role/ci", &format!("role/{name}"))
        .replace("--role-name ci", &format!("--role-name {name}"))
        .replace("namespace: buildkit", &format!("namespace: {name}"))
        .replace("  name: buildkit\n", &format!("  name: {name}\n"))
        .replace("--namespace buildkit", &format!("--namespace {name}"))
        .replace("-n buildkit", &format!("-n {name}"))
        .replace("registry.example.com", &LAB.registry)
}

/// Copies a directory with the names replaced.
fn copy(from: &Path, to: &Path, name: &str) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().context("a name")?);
        if path.is_dir() {
            copy(&path, &to, name)?;
        } else {
            let content = std::fs::read(&path)?;
            match String::from_utf8(content) {
                Ok(text) => std::fs::write(to, with_names_of_the_lab(&text, name))?,
                Err(binary) => std::fs::write(to, binary.as_bytes())?,
            }
        }
    }
    Ok(())
}

/// Runs commands as the administrator of the cluster, in a clone of this repository, with these AWS credentials.
fn run_as_administrator(script: &str, name: &str, credentials: &[(&str, &str)]) -> Result<String> {
    let clone = tempfile::tempdir()?;
    copy(&root().join("examples"), &clone.path().join("examples"), name)?;
    let bin = clone.path().join("bin");
    std::fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(program(), bin.join("remote-buildkit"))?;
    let aws = LAB.aws_cli.parent().context("a directory")?;
    let path = [bin.as_path(), &LAB.bin, aws].map(|dir| dir.display().to_string());
    let output = output(
        Command::new("sh")
            .args(["-euxc", script])
            .current_dir(clone.path())
            .env_clear()
            .env("HOME", clone.path())
            .env("PATH", format!("{}:/usr/bin:/bin", path.join(":")))
            .env("KUBECONFIG", &LAB.admin_kubeconfig)
            .env("AWS_ENDPOINT_URL", &LAB.aws_endpoint)
            .env("AWS_DEFAULT_REGION", &LAB.region)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(credentials.iter().copied()),
    )?;
    let log = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{log}");
    Ok(log)
}

const ACCOUNT_ROOT: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// Removes what an earlier run of a test on the same lab left in the account.
fn remove_role(name: &str) -> Result<()> {
    let script = format!(
        "for policy in $(aws iam list-role-policies --role-name {name} --query PolicyNames --output text || true); do \
         aws iam delete-role-policy --role-name {name} --policy-name $policy; done\n\
         aws iam delete-role --role-name {name} || true\n\
         aws eks delete-access-entry --cluster-name {} --principal-arn arn:aws:iam::{}:role/{name} || true",
        LAB.cluster, LAB.account
    );
    run_as_administrator(&script, name, &ACCOUNT_ROOT).map(drop)
}

/// Runs the README's workflow twice, on two machines: the first job pushes an image, and the second has its cache.
fn run_workflow(name: &str) -> Result<()> {
    let workflows = blocks("README.md", "Quick start", "yaml")?;
    let [workflow] = workflows.as_slice() else {
        anyhow::bail!("not one workflow: {workflows:?}");
    };
    let workflow = with_names_of_the_lab(workflow, name);
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
        first.contains(&format!("Found agent {name}/remote-buildkit-agent")),
        "{first}"
    );
    ensure!(first.contains("pushing manifest for"), "{first}");
    ensure!(!first.contains("CACHED"), "{first}");
    let second = run()?;
    ensure!(second.contains("CACHED"), "{second}");
    Ok(())
}

#[test]
fn command_and_workflow_of_the_readme_build_an_image() -> Result<()> {
    let name = "quick-start";
    let _cluster = crate::setup::cluster();
    // The command creates it.
    let _namespace = Namespace(name.to_owned());
    remove_role(name)?;
    let commands = blocks("README.md", "Quick start", "sh")?;
    let [command] = commands.as_slice() else {
        anyhow::bail!("not one command: {commands:?}");
    };
    // The ids are given, because this machine cannot ask GitHub, and the answer to the question.
    let command = with_names_of_the_lab(command, name).replace("acme/shop", "acme@123456/shop@987654321");
    let command = format!("{} --namespace {name} --yes", command.trim_end());
    let mut administrator = Runner::new()?;
    administrator.export_keys("admin")?;
    let credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        .map(|variable| (variable, administrator.env[variable].as_str()));
    let log = run_as_administrator(&command, name, &credentials)?;
    ensure!(log.contains("Done. A workflow for the repository"), "{log}");
    run_workflow(name)
}

#[test]
fn steps_of_the_setup_page_build_an_image() -> Result<()> {
    let name = "step-by-step";
    let _namespace = Namespace(name.to_owned());
    remove_role(name)?;
    let mut script = Vec::new();
    for section in [
        "1. The IAM role",
        "2. The access entry",
        "3. The namespace and RBAC",
        "4. The agent",
    ] {
        let commands = blocks("docs/setup.md", section, "sh")?;
        ensure!(!commands.is_empty(), "{section} has no commands");
        for block in commands {
            // GitHub cannot be asked here; and jobs are not to deploy agents.
            if block.starts_with("gh api ") || block.contains("create rolebinding jobs-deploy") {
                continue;
            }
            let block = with_names_of_the_lab(&block, name);
            // The lab's account has the identity provider already: the page says to skip this command then.
            script.push(if block.starts_with("aws iam create-open-id-connect-provider") {
                format!("{} 2>&1 | grep EntityAlreadyExists\n", block.trim_end())
            } else {
                block
            });
        }
    }
    assert_eq!(script.len(), 5, "{script:?}");
    run_as_administrator(&script.concat(), name, &ACCOUNT_ROOT)?;
    run_workflow(name)
}
