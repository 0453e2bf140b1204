//! Two versions of the action that apply the same agent at the same time.

use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support::{HeldRequest, Namespace, Runner, kubeconfig, program, record_seconds, run};

const AGENT: &str = "remote-buildkit-agent";

/// The inputs that each version deploys. Their claims conflict as well, because volumes cannot shrink.
const VERSIONS: [&[(&str, &str)]; 2] = [
    &[
        ("max-parallelism", "2"),
        ("storage", "50Gi"),
        ("image", "docker.io/moby/buildkit:v0.34.2"),
    ],
    &[
        ("max-parallelism", "3"),
        ("storage", "60Gi"),
        ("image", "docker.io/moby/buildkit:buildx-stable-1"),
    ],
];

/// Returns the version of the ConfigMap and the version of the Deployment.
fn versions(namespace: &Namespace) -> Result<[usize; 2]> {
    let config = namespace.json(&["get", "configmap", AGENT])?;
    let toml = config["data"]["buildkitd.toml"].as_str().context("no toml")?;
    let deployment = namespace.json(&["get", "deployment", AGENT])?;
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let version = |matches: &dyn Fn(&str, &str) -> bool| {
        VERSIONS.iter().position(|version| {
            let mut inputs = version.iter();
            inputs.any(|(name, value)| matches(name, value))
        })
    };
    let config_version = version(&|name, value| {
        name == "max-parallelism" && toml.contains(&format!("max-parallelism = {value}\n"))
    });
    let deployment_version = version(&|name, value| name == "image" && image == value);
    Ok([
        config_version.context("a ConfigMap of no version")?,
        deployment_version.context("a Deployment of no version")?,
    ])
}

fn inputs<'i>(
    namespace: &'i str,
    version: usize,
    more: &[(&'static str, &'static str)],
) -> Vec<(&'i str, &'i str)> {
    [&[("namespace", namespace)], VERSIONS[version], more].concat()
}

#[test]
fn two_versions_leave_one_complete_agent() -> Result<()> {
    for round in 0..4 {
        let name = format!("versions-{round}");
        let namespace = Namespace::new(&name)?;
        let jobs: Vec<_> = (0..8)
            .map(|job| {
                let name = name.clone();
                thread::spawn(move || -> Result<(usize, Runner)> {
                    let version = job % 2;
                    let mut runner = Runner::new()?;
                    runner.connect(&inputs(&name, version, &[]))?.ok()?;
                    Ok((version, runner))
                })
            })
            .collect();
        let began = Instant::now();
        let mut connected = Vec::new();
        for job in jobs {
            connected.push(job.join().expect("no panic")?);
        }
        record_seconds(began.elapsed().as_secs_f64())?;
        let [config, deployment] = versions(&namespace)?;
        ensure!(
            config == deployment,
            "the ConfigMap is of version {config}, the Deployment of {deployment}"
        );
        assert_eq!(namespace.names("deployment")?, [AGENT]);
        assert_eq!(namespace.names("pvc")?, [AGENT]);
        for version in [0, 1] {
            let (_, runner) = connected
                .iter()
                .find(|(job_version, _)| *job_version == version)
                .context("no job")?;
            runner.build(&format!("RUN echo version {version} in round {round}"))?;
        }
    }
    Ok(())
}

/// One job has written its ConfigMap and is slow. Meanwhile the other one finishes. Then the first one continues.
#[test]
fn interrupted_version_finishes_both_objects() -> Result<()> {
    let namespace = Namespace::new("versions-slow")?;
    let hold = HeldRequest::new("PATCH /apis/apps/v1/namespaces/versions-slow/deployments/")?;
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), kubeconfig(&hold.server, "{}"))?;
    let path = config.path().to_string_lossy();
    let mut slow = Runner::new()?;
    let access = [("kubeconfig", path.as_ref())];
    let command = slow.connect_command_with_only(&[&inputs("versions-slow", 0, &[]), &access[..]].concat());
    let connecting = slow.start(command)?;
    hold.wait()?;
    let same_size = [("storage", "50Gi")];
    let mut fast = Runner::new()?;
    fast.connect(&inputs("versions-slow", 1, &same_size))?.ok()?;
    ensure!(versions(&namespace)? == [1, 1], "{:?}", versions(&namespace)?);
    hold.release()?;
    let overtaken = slow.finish(connecting)?.ok()?;
    ensure!(versions(&namespace)? == [0, 0], "{:?}", versions(&namespace)?);
    // The builders of both jobs work, although the agent of one of them changed.
    for runner in [&fast, &slow] {
        runner.build("RUN echo built")?;
    }
    record_seconds(overtaken.seconds)
}

/// A job finds no claim and is slow. Meanwhile a claim of another size comes from one job, and the Deployment from another job
/// with the inputs of the first one.
#[test]
fn agent_on_the_volume_of_a_third_job_is_used() -> Result<()> {
    let namespace = Namespace::new("versions-three")?;
    let hold = HeldRequest::new("PATCH /api/v1/namespaces/versions-three/persistentvolumeclaims/")?;
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), kubeconfig(&hold.server, "{}"))?;
    let path = config.path().to_string_lossy();
    let mut slow = Runner::new()?;
    let access = [("kubeconfig", path.as_ref())];
    let command = slow.connect_command_with_only(&[&inputs("versions-three", 0, &[]), &access[..]].concat());
    let connecting = slow.start(command)?;
    hold.wait()?;
    Runner::new()?.connect(&inputs("versions-three", 1, &[]))?.ok()?;
    namespace.kubectl(&["delete", "deployment,configmap", AGENT, "--wait"])?;
    Runner::new()?.connect(&inputs("versions-three", 0, &[]))?.ok()?;
    hold.release()?;
    slow.finish(connecting)?.ok()?;
    let claim = namespace.json(&["get", "pvc", AGENT])?;
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "60Gi");
    ensure!(versions(&namespace)? == [0, 0], "{:?}", versions(&namespace)?);
    slow.build("RUN echo built").map(drop)
}

/// The jobs of both versions update the agent, each to its own version.
#[test]
fn two_versions_with_deploy_always_leave_one_complete_agent() -> Result<()> {
    let namespace = Namespace::new("versions-always")?;
    Runner::new()?.connect(&inputs("versions-always", 0, &[]))?.ok()?;
    let jobs: Vec<_> = (0..6)
        .map(|job| {
            thread::spawn(move || -> Result<()> {
                // A claim that has grown cannot shrink, so both versions request the same size.
                let same = [("deploy", "always"), ("storage", "60Gi"), ("timeout", "3m")];
                Runner::new()?
                    .connect(&inputs("versions-always", job % 2, &same))?
                    .ok()?;
                Ok(())
            })
        })
        .collect();
    let began = Instant::now();
    for job in jobs {
        job.join().expect("no panic")?;
    }
    record_seconds(began.elapsed().as_secs_f64())?;
    let [config, deployment] = versions(&namespace)?;
    ensure!(
        config == deployment,
        "the ConfigMap is of version {config}, the Deployment of {deployment}"
    );
    Ok(())
}

/// A job that was killed between the two objects left the ConfigMap of one version with the Deployment of another.
#[test]
fn next_job_repairs_what_a_killed_job_left() -> Result<()> {
    let namespace = Namespace::new("versions-killed")?;
    let first = Runner::new()?.connect(&inputs("versions-killed", 0, &[]))?.ok()?;
    let kept = namespace.json(&["get", "configmap", AGENT])?["data"].clone();
    let leave_half = || {
        let flags = ["manifests", "--namespace", "versions-killed"].map(str::to_owned);
        let inputs = VERSIONS[1]
            .iter()
            .map(|(name, value)| format!("--{name}={value}"));
        let manifests = run(Command::new(program()).args(flags).args(inputs))?;
        let (config, _) = manifests.split_once("---\n").context("one document")?;
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), config)?;
        let file = file.path().to_string_lossy();
        // Apply it as the killed job did.
        let apply = ["apply", "--server-side", "--field-manager=remote-buildkit", "-f"];
        namespace.kubectl(&[&apply[..], &[&file]].concat())?;
        ensure!(versions(&namespace)? == [1, 0], "nothing is half done");
        Ok(())
    };

    // A job with the inputs of the Deployment repairs the ConfigMap and keeps the pod.
    leave_half()?;
    let repaired = Runner::new()?.connect(&inputs("versions-killed", 0, &[]))?.ok()?;
    ensure!(
        repaired.log.contains("did not match its Deployment: repaired"),
        "{}",
        repaired.log
    );
    ensure!(repaired.outputs["agent"] == first.outputs["agent"], "another pod");
    let data: Value = namespace.json(&["get", "configmap", AGENT])?["data"].clone();
    assert_eq!(data, kept);
    let quiet = Runner::new()?.connect(&inputs("versions-killed", 0, &[]))?.ok()?;
    ensure!(
        !quiet.log.contains("did not match its Deployment: repaired"),
        "{}",
        quiet.log
    );

    // The killed job, run again with `deploy: always`, updates the agent to its own version.
    leave_half()?;
    let again = [("deploy", "always")];
    let repaired = Runner::new()?
        .connect(&inputs("versions-killed", 1, &again))?
        .ok()?;
    ensure!(repaired.log.contains("Updated agent"), "{}", repaired.log);
    ensure!(versions(&namespace)? == [1, 1], "{:?}", versions(&namespace)?);
    Ok(())
}
