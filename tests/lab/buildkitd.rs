//! The embedded schema of buildkitd.toml matches BuildKit's own structs in the version that agents run by default.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use remote_buildkit_agent::DEFAULT_IMAGE;

use crate::support::{LAB, Namespace, Runner, run};

const SCHEMA: &str = include_str!("../../crates/agent/src/buildkitd/schema.txt");

#[test]
fn schema_matches_the_default_image() -> Result<()> {
    let (_, version) = DEFAULT_IMAGE.split_once(':').context("no version")?;
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("main.go"), include_str!("buildkitd/keys.go"))?;
    fs::write(dir.path().join("go.mod"), "module keys\n\ngo 1.26.0\n")?;
    let go = |arguments: &[&str]| {
        let mut go = Command::new("go");
        go.args(arguments).current_dir(&dir);
        run(go.env("GOFLAGS", "-mod=mod").env("GOWORK", "off"))
    };
    go(&[
        "get",
        &format!("github.com/moby/buildkit/cmd/buildkitd/config@{version}"),
    ])?;
    let printed = go(&["run", "."])?;
    let mut keys: Vec<&str> = printed.lines().collect();
    keys.sort_unstable();
    let known: Vec<&str> = SCHEMA.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(known, keys);
    Ok(())
}

/// The daemon applies the inputs: an image of Docker Hub, which the lab cannot reach, is pulled through a mirror, and
/// the user's own configuration is merged in.
#[test]
fn mirrors_and_buildkitd_config_are_applied() -> Result<()> {
    let namespace = Namespace::new("daemon")?;
    let inputs = [
        ("namespace", "daemon"),
        ("registry-mirrors", LAB.registry.as_str()),
        ("buildkitd-config", "[worker.oci.labels]\nteam = \"platform\"\n"),
        ("max-parallelism", "2"),
    ];
    let mut runner = Runner::new()?;
    let connected = runner.connect(&inputs)?.ok()?;
    runner.trust_registry();
    let mirrored = format!("{}/library/mirrored", LAB.registry);
    let base = format!("{}/busybox", LAB.registry);
    runner.buildx(&["imagetools", "create", "--tag", &mirrored, &base])?;
    let context = tempfile::tempdir()?;
    fs::write(
        context.path().join("Dockerfile"),
        "FROM mirrored\nRUN echo through the mirror\n",
    )?;
    let log = runner.buildx(&["build", "--progress=plain", &context.path().to_string_lossy()])?;
    ensure!(log.contains("FROM docker.io/library/mirrored"), "{log}");
    let workers = [
        "exec",
        &connected.outputs["agent"],
        "-c",
        "buildkitd",
        "--",
        "buildctl",
        "debug",
        "workers",
        "-v",
    ];
    let workers = namespace.kubectl(&workers)?;
    ensure!(workers.contains("platform"), "{workers}");
    Ok(())
}
