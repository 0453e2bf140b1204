//! One agent for each architecture, and one builder for all of them.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{LAB, Namespace, Runner, program, run};

/// The toleration for the lab's arm64 node, which has the taint that GKE gives such nodes.
const TOLERATED: (&str, &str) = ("tolerations", "kubernetes.io/arch=arm64:NoSchedule");

#[test]
fn both_platforms_are_built_natively_into_one_index() -> Result<()> {
    let namespace = Namespace::new("platforms")?;
    let inputs = [
        ("namespace", "platforms"),
        ("platforms", "linux/amd64,linux/arm64"),
        TOLERATED,
    ];
    let mut runner = Runner::new()?;
    let connected = runner.connect(&inputs)?.ok()?;
    ensure!(
        connected.outputs["platforms"] == "linux/amd64,linux/arm64",
        "{:?}",
        connected.outputs
    );
    let nodes: Value = serde_json::from_str(&connected.outputs["nodes"])?;
    ensure!(nodes[0]["name"] == "remote-buildkit-agent-amd64", "{nodes}");
    ensure!(nodes[1]["name"] == "remote-buildkit-agent-arm64", "{nodes}");

    let context = tempfile::tempdir()?;
    let dockerfile = format!("FROM {}/busybox\nRUN echo built for $(uname -m)\n", LAB.registry);
    std::fs::write(context.path().join("Dockerfile"), dockerfile)?;
    let image = format!("{}/platforms", LAB.registry);
    // buildx itself creates the index from what each agent pushed.
    runner.trust_registry();
    let log = runner.buildx(&[
        "build",
        "--progress=plain",
        "--platform=linux/amd64,linux/arm64",
        "--push",
        "--provenance=false",
        &format!("--tag={image}"),
        &context.path().to_string_lossy(),
    ])?;
    ensure!(
        log.contains("built for x86_64") && log.contains("built for aarch64"),
        "{log}"
    );

    // Each agent built its own platform and nothing else: an emulator on the first could have built both.
    for (arch, machine) in [("amd64", "x86_64"), ("arm64", "aarch64")] {
        let agent = format!("deployment/remote-buildkit-agent-{arch}");
        let histories = namespace.kubectl(&[
            "exec",
            &agent,
            "-c",
            "buildkitd",
            "--",
            "buildctl",
            "debug",
            "histories",
            "--format",
            "{{json .}}",
        ])?;
        ensure!(
            histories.contains(&format!("linux/{arch}")),
            "{machine}: {histories}"
        );
        let other = if arch == "amd64" {
            "linux/arm64"
        } else {
            "linux/amd64"
        };
        ensure!(
            !histories.contains(other),
            "the agent of {arch} built {other}: {histories}"
        );
    }

    let index = runner.buildx(&["imagetools", "inspect", "--raw", &image])?;
    let index: Value = serde_json::from_str(&index)?;
    let manifests = index["manifests"].as_array().context("no index")?;
    let mut platforms: Vec<_> = manifests
        .iter()
        .filter_map(|m| m["platform"]["architecture"].as_str())
        .collect();
    platforms.sort_unstable();
    ensure!(platforms == ["amd64", "arm64"], "{index}");

    // A platform without a running agent is an error; it is not emulated.
    namespace.kubectl(&[
        "scale",
        "deployment",
        "remote-buildkit-agent-arm64",
        "--replicas=0",
    ])?;
    let refused = Runner::new()?.connect(&inputs)?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    for words in [
        "Agent cannot be used",
        "remote-buildkit-agent-arm64",
        "no agent can build linux/arm64",
    ] {
        ensure!(refused.log.contains(words), "{words} is not in {}", refused.log);
    }
    Ok(())
}

/// Without `platforms` a new agent is on the runner's architecture, and an existing agent of another one is used, with a
/// warning.
#[test]
fn agent_of_another_architecture_is_used_with_a_warning() -> Result<()> {
    let namespace = Namespace::new("other-arch")?;
    let [machine, other] = [0, 1].map(|node: usize| LAB.nodes[node].architecture.name());
    let selector = format!("kubernetes.io/arch={other}");
    // The lab's volumes have 60Gi, which an update of a smaller agent would learn.
    let usual = [("namespace", "other-arch"), ("storage", "60Gi"), TOLERATED];
    // The inputs name the architecture of this agent, so there is nothing to warn of.
    let named = [&usual[..], &[("node-selector", selector.as_str())]].concat();
    let deployed = Runner::new()?.connect(&named)?.ok()?;
    ensure!(
        !deployed.log.contains("different architectures"),
        "{}",
        deployed.log
    );

    let mut runner = Runner::new()?;
    let used = runner.connect(&usual)?.ok()?;
    for words in [
        "::warning title=Agent and runner have different architectures::",
        &format!("other-arch/remote-buildkit-agent runs on {other}, and this machine is {machine}"),
        &format!("`platforms: linux/{machine}`"),
        &format!("`node-selector: {selector}`"),
    ] {
        ensure!(used.log.contains(words), "{words} is not in {}", used.log);
    }
    ensure!(!used.log.contains("it differs"), "{}", used.log);

    // It keeps its architecture when it is updated.
    let always = [&usual[..], &[("deploy", "always")]].concat();
    let kept = Runner::new()?.connect(&always)?.ok()?;
    ensure!(kept.outputs["agent"] == used.outputs["agent"], "{}", kept.log);

    let own = [&usual[..], &[("name", "own")]].concat();
    let own = Runner::new()?.connect(&own)?.ok()?;
    ensure!(!own.log.contains("different architectures"), "{}", own.log);
    let pod = namespace.json(&["get", "pod", &own.outputs["agent"]])?;
    ensure!(
        pod["spec"]["nodeSelector"] == json!({"kubernetes.io/arch": machine}),
        "{}",
        pod["spec"]
    );
    Ok(())
}

/// An agent whose node selector has no architecture stays on its node until it is updated, which shows the difference.
#[test]
fn update_places_an_agent_on_an_architecture() -> Result<()> {
    let namespace = Namespace::new("unplaced")?;
    let text = run(Command::new(program())
        .args(["manifests", "--namespace=unplaced"])
        .envs(lab::NO_REQUESTS))?;
    ensure!(!text.contains("nodeSelector"), "{text}");
    namespace.apply_as("remote-buildkit", &text)?;
    let used = Runner::new()?.connect(&[("namespace", "unplaced")])?.ok()?;
    ensure!(!used.log.contains("it differs"), "{}", used.log);
    let always = [("namespace", "unplaced"), ("deploy", "always")];
    let updated = Runner::new()?.connect(&always)?.ok()?;
    let selector = format!("kubernetes.io/arch: {}", LAB.nodes[0].architecture.name());
    let line = |sign: &str| format!("{sign}        {selector}\n");
    ensure!(updated.log.contains("+      nodeSelector:\n"), "{}", updated.log);
    ensure!(updated.log.contains(&line("+")), "{}", updated.log);

    // A patch can keep it without one.
    let patch = "spec: {template: {spec: {nodeSelector: {kubernetes.io/arch: null}}}}";
    let any = [("namespace", "unplaced"), ("patch", patch)];
    let always = [&any[..], &[("deploy", "always")]].concat();
    let removed = Runner::new()?.connect(&always)?.ok()?;
    ensure!(removed.log.contains(&line("-")), "{}", removed.log);
    let kept = Runner::new()?.connect(&any)?.ok()?;
    ensure!(!kept.log.contains("it differs"), "{}", kept.log);
    Ok(())
}

/// A Deployment with the right name runs on the wrong nodes.
#[test]
fn agent_of_the_wrong_architecture_is_not_used() -> Result<()> {
    let _namespace = Namespace::new("emulated")?;
    Runner::new()?
        .connect(&[("namespace", "emulated"), ("name", "remote-buildkit-agent-arm64")])?
        .ok()?;
    let refused =
        Runner::new()?.connect(&[("namespace", "emulated"), ("platforms", "linux/arm64"), TOLERATED])?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    for words in [
        "Wrong agent architecture",
        "must build linux/arm64 natively",
        "linux/amd64",
    ] {
        ensure!(refused.log.contains(words), "{words} is not in {}", refused.log);
    }
    Ok(())
}
