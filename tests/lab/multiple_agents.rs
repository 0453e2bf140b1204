//! Several agents: jobs with the same cache key use the same agent, or the next one if that agent is unavailable.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use remote_buildkit_agent::routing;

use crate::support::{GitServer, LAB, Namespace, Runner};

const AGENTS: [&str; 2] = ["remote-buildkit-agent", "remote-buildkit-agent-2"];

fn expected(key: &str) -> &'static str {
    routing::order(key, AGENTS.to_vec(), |agent| agent)[0]
}

fn connect(runner: &mut Runner, key: &str) -> Result<(String, String)> {
    let inputs = [("namespace", "several"), ("agents", "2"), ("cache-key", key)];
    let outcome = runner.connect(&inputs)?.ok()?;
    let nodes: serde_json::Value = serde_json::from_str(&outcome.outputs["nodes"])?;
    Ok((
        nodes[0]["name"].as_str().context("no name")?.to_owned(),
        outcome.log,
    ))
}

/// Returns the agents whose cache has a record of a build that printed this word.
fn built_on(namespace: &Namespace, word: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    // An agent is deployed when its first cache key is used.
    for agent in namespace.names("deployment")? {
        let deployment = format!("deployment/{agent}");
        let du = [
            "exec",
            &deployment,
            "-c",
            "buildkitd",
            "--",
            "buildctl",
            "du",
            "-v",
        ];
        let du = namespace.kubectl(&du)?;
        if du.contains(word) {
            found.insert(agent);
        }
    }
    Ok(found)
}

/// Returns a Dockerfile that prints a word.
fn dockerfile(word: &str) -> String {
    format!("FROM {}/busybox\nRUN echo {word}\n", LAB.registry)
}

fn bake_file(context: &str) -> String {
    format!("target \"default\" {{\n  context = \"{context}\"\n}}\n")
}

/// Runs `build` and `bake` with local contexts and with a Git repository. Each build prints its own word, which is
/// returned.
fn build_all(runner: &Runner, word: &str) -> Result<Vec<String>> {
    let dir = tempfile::tempdir()?;
    let context = dir.path().to_string_lossy().into_owned();
    let words = ["local", "bake", "git", "git-bake"].map(|kind| format!("{word}-{kind}"));
    let [local, bake, git, git_bake] = &words;
    std::fs::write(dir.path().join("Dockerfile"), dockerfile(local))?;
    runner.buildx(&["build", "--progress=plain", &context])?;

    std::fs::write(dir.path().join("Dockerfile"), dockerfile(bake))?;
    let file = dir.path().join("docker-bake.hcl");
    std::fs::write(&file, bake_file(&context))?;
    let file = file.to_string_lossy().into_owned();
    runner.buildx(&["bake", "--progress=plain", "--allow=fs=*", "--file", &file])?;

    let server = GitServer::of(&[("Dockerfile", &dockerfile(git))])?;
    runner.buildx(&["build", "--progress=plain", &server.url])?;

    let server = GitServer::of(&[("Dockerfile", &dockerfile(git_bake))])?;
    std::fs::write(&file, bake_file(&server.url))?;
    runner.buildx(&["bake", "--progress=plain", "--file", &file])?;
    Ok(words.to_vec())
}

#[test]
fn cache_key_selects_the_same_agent_on_every_runner() -> Result<()> {
    let namespace = Namespace::new("several")?;
    let keys: Vec<String> = (0..8).map(|n| format!("acme/shop:image-{n}")).collect();
    let mut served = BTreeMap::new();
    for key in &keys {
        // A new home and a new directory for each key, because buildx itself would choose an agent by a hash of them.
        let mut runner = Runner::new()?;
        let (agent, _) = connect(&mut runner, key)?;
        ensure!(agent == expected(key), "{key} went to {agent}");
        for word in build_all(&runner, &key.replace(['/', ':'], "-"))? {
            let on = built_on(&namespace, &word)?;
            ensure!(
                on == BTreeSet::from([agent.clone()]),
                "{word} is on {on:?}, not on {agent}"
            );
        }
        served.insert(key.clone(), agent);
    }
    let used: BTreeSet<_> = served.values().collect();
    ensure!(used.len() == 2, "one agent has all keys: {served:?}");

    // If one agent is unavailable, its keys move to the other with a warning, and return once it is back.
    let gone = expected(&keys[0]);
    let other = AGENTS.into_iter().find(|agent| *agent != gone).context("other")?;
    namespace.kubectl(&["scale", "deployment", gone, "--replicas=0"])?;
    for key in &keys {
        let (agent, log) = connect(&mut Runner::new()?, key)?;
        ensure!(agent == other, "{key} went to {agent}");
        let moved = expected(key) == gone;
        ensure!(
            log.contains("::warning title=Preferred agent unavailable::") == moved,
            "{key}: {log}"
        );
        ensure!(log.contains("expect cache misses") == moved, "{key}: {log}");
    }
    namespace.kubectl(&["scale", "deployment", gone, "--replicas=1"])?;
    for key in &keys {
        let (agent, _) = connect(&mut Runner::new()?, key)?;
        ensure!(agent == expected(key), "{key} did not come back: {agent}");
    }

    // connect waits until the timeout for an agent that does not become ready.
    let nowhere =
        r#"{"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}}}}"#;
    namespace.kubectl(&["patch", "deployment", gone, "--patch", nowhere])?;
    let inputs = [
        ("namespace", "several"),
        ("agents", "2"),
        ("cache-key", keys[0].as_str()),
        ("timeout", "10s"),
    ];
    let outcome = Runner::new()?.connect(&inputs)?.ok()?;
    ensure!(
        outcome
            .log
            .contains(&format!("agent {gone} is unavailable: Agent not ready in time")),
        "{}",
        outcome.log
    );
    ensure!(
        outcome
            .log
            .contains("::warning title=Preferred agent unavailable::"),
        "{}",
        outcome.log
    );
    Ok(())
}
