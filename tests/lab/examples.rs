//! Each example workflow as it is in examples/ under act, with only the names of the cluster, the registry and the namespace
//! replaced.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use lab::{Checkout, Job, Trigger};
use serde_json::{Value, json};

use crate::support::{LAB, Namespace, checkout};

const WORKFLOW: &str = ".github/workflows/example.yml";
const DOCKERFILE: &str = "FROM scratch\nCOPY Dockerfile /Dockerfile\n";

/// Returns an example with the names of the lab, and this namespace.
fn example(file: &str, namespace: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(file);
    let text = std::fs::read_to_string(path)?;
    for name in ["cluster: shop\n", "region: us-west-2\n", "namespace: buildkit"] {
        ensure!(text.contains(name), "{file} has no {name}");
    }
    Ok(text
        .replace("cluster: shop\n", &format!("cluster: {}\n", LAB.cluster))
        .replace("region: us-west-2\n", &format!("region: {}\n", LAB.region))
        .replace("namespace: buildkit", &format!("namespace: {namespace}"))
        .replace("registry.example.com", &LAB.registry)
        .replace("123456789012.dkr.ecr.us-west-2.amazonaws.com", &LAB.ecr))
}

/// Returns a repository with this workflow, and a Dockerfile in each of the directories.
fn repository(workflow: &str, directories: &[&str]) -> Result<Checkout> {
    let dockerfiles: Vec<String> = directories
        .iter()
        .map(|dir| format!("{dir}/Dockerfile"))
        .collect();
    let mut files = vec![(WORKFLOW, workflow)];
    files.extend(dockerfiles.iter().map(|path| (path.as_str(), DOCKERFILE)));
    checkout(&files)
}

/// Runs the workflow for a push, on a machine that trusts the lab's registry.
fn push(repository: &Checkout) -> Result<String> {
    run(repository, "push", &json!({"ref": "refs/heads/main"}))
}

fn run(repository: &Checkout, event: &str, payload: &Value) -> Result<String> {
    let ca = LAB.registry_ca.to_string_lossy();
    let trigger = Trigger {
        event,
        payload: &payload.to_string(),
        env: &[("SSL_CERT_FILE", &ca)],
    };
    Ok(Job::of_event(&LAB, repository, WORKFLOW, &trigger, |_| {})?
        .ok()?
        .log)
}

/// Returns whether a job used an agent of this namespace.
fn uses_agent(log: &str, namespace: &str) -> bool {
    // `Found agent …` or `Agent … did not exist`.
    log.contains(&format!("gent {namespace}/remote-buildkit-agent"))
}

/// Checks that the job built with an agent of this namespace, and pushed so many images.
fn expect_pushes(log: &str, namespace: &str, count: usize) -> Result<()> {
    ensure!(uses_agent(log, namespace), "not in {namespace}: {log}");
    let is_push = |line: &&str| line.contains("pushing manifest for") && line.ends_with("done");
    let pushed = log.lines().filter(is_push).count();
    ensure!(pushed == count, "{pushed} instead of {count} were pushed: {log}");
    Ok(())
}

#[test]
fn workflow() -> Result<()> {
    let namespace = Namespace::new("example-workflow")?;
    let log = push(&repository(&example("workflow.yml", &namespace.0)?, &["."])?)?;
    ensure!(
        log.contains(&format!("Login to {} succeeded", LAB.registry)),
        "{log}"
    );
    expect_pushes(&log, &namespace.0, 1)
}

#[test]
fn ecr() -> Result<()> {
    let namespace = Namespace::new("example-ecr")?;
    let hosts = json!({"spec": {"template": {"spec": {
        "hostAliases": [{"ip": LAB.ecr_ip, "hostnames": [LAB.ecr]}]}}}});
    let workflow = example("ecr.yml", &namespace.0)?.replace(
        "          ecr: auto",
        &format!("          patch: '{hosts}'\n          ecr: auto"),
    );
    let log = push(&repository(&workflow, &["."])?)?;
    ensure!(log.contains(&format!("Logged in to {}", LAB.ecr)), "{log}");
    expect_pushes(&log, &namespace.0, 1)
}

#[test]
fn platforms() -> Result<()> {
    let namespace = Namespace::new("example-platforms")?;
    // The lab's arm64 node has a taint.
    let input = "          platforms: linux/amd64,linux/arm64\n";
    let tolerated = format!("{input}          tolerations: kubernetes.io/arch=arm64:NoSchedule\n");
    let workflow = example("platforms.yml", &namespace.0)?.replacen(input, &tolerated, 1);
    let log = push(&repository(&workflow, &["."])?)?;
    for agent in ["amd64", "arm64"] {
        let agent = format!("remote-buildkit-agent-{agent}");
        ensure!(
            namespace.names("deployment")?.contains(&agent),
            "no {agent}: {log}"
        );
    }
    Ok(())
}

#[test]
fn multiple_agents() -> Result<()> {
    let namespace = Namespace::new("example-agents")?;
    let repository = repository(
        &example("multiple-agents.yml", &namespace.0)?,
        &["api", "web", "worker"],
    )?;
    expect_pushes(&push(&repository)?, &namespace.0, 3)
}

/// Pull requests build in one namespace, and main in another. A fork's pull request builds nothing.
#[test]
fn monorepo() -> Result<()> {
    let checks = Namespace::new("example-monorepo")?;
    let releases = Namespace::new("example-monorepo-release")?;
    let repository = repository(&example("monorepo.yml", &checks.0)?, &["api", "web"])?;
    let target = |name: &str| {
        format!(
            "target \"{name}\" {{\n  context = \"{name}\"\n  tags = [\"{}/acme/{name}\"]\n}}\n",
            LAB.registry
        )
    };
    let bake = format!(
        "group \"default\" {{\n  targets = [\"api\", \"web\"]\n}}\n{}{}",
        target("api"),
        target("web")
    );
    let base = repository.commit(&[("docker-bake.hcl", &bake)])?;
    let head = repository.commit(&[("api/Dockerfile", "FROM scratch\nCOPY Dockerfile /again\n")])?;

    let pull_request = |from: &str| {
        json!({"number": 1, "pull_request": {
            "number": 1,
            "head": {"sha": head, "ref": "again", "repo": {"full_name": from}},
            "base": {"sha": base, "ref": "main", "repo": {"full_name": "acme/shop"}},
        }})
    };
    let log = run(&repository, "pull_request", &pull_request("evil/shop"))?;
    ensure!(!uses_agent(&log, &checks.0), "{log}");

    let log = run(&repository, "pull_request", &pull_request("acme/shop"))?;
    ensure!(uses_agent(&log, &checks.0), "{log}");
    ensure!(!uses_agent(&log, &releases.0), "{log}");
    ensure!(!log.contains("pushing"), "{log}");

    let payload = json!({
        "ref": "refs/heads/main", "before": base, "after": head, "created": false, "forced": false,
    });
    let log = run(&repository, "push", &payload)?;
    ensure!(!uses_agent(&log, &checks.0), "{log}");
    expect_pushes(&log, &releases.0, 1)
}

/// The directory has no example that no test runs.
#[test]
fn every_example_has_a_test() -> Result<()> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            let name = path.file_stem().context("a name")?;
            found.push(name.to_string_lossy().into_owned());
        }
    }
    found.sort();
    assert_eq!(
        found,
        ["ecr", "monorepo", "multiple-agents", "platforms", "workflow"]
    );
    Ok(())
}
