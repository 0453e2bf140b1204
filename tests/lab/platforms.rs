//! One agent for each architecture, and one builder for all of them.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support::{LAB, Namespace, Runner};

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
