//! Two versions of the action that apply one agent at once.

use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support::{HeldRequest, Namespace, Runner, kubeconfig, program, record_seconds, run};

const AGENT: &str = "remote-buildkit-agent";

/// What one version and another would deploy. Their claims do not get along either: volumes do not shrink.
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

/// The version that each object is of.
fn versions(namespace: &Namespace) -> Result<[usize; 2]> {
    let config = namespace.json(&["get", "configmap", AGENT])?;
    let toml = config["data"]["buildkitd.toml"].as_str().context("no toml")?;
    let deployment = namespace.json(&["get", "deployment", AGENT])?;
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let version = |of: &dyn Fn(&str, &str) -> bool| {
        VERSIONS.iter().position(|version| {
            let mut inputs = version.iter();
            inputs.any(|(name, value)| of(name, value))
        })
    };
    let of_config = version(&|name, value| {
        name == "max-parallelism" && toml.contains(&format!("max-parallelism = {value}\n"))
    });
    let of_deployment = version(&|name, value| name == "image" && image == value);
    Ok([
        of_config.context("a ConfigMap of no version")?,
        of_deployment.context("a Deployment of no version")?,
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
fn two_versions_at_once_leave_one_of_them() -> Result<()> {
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
                .find(|(of, _)| *of == version)
                .context("no job")?;
            runner.build(&format!("RUN echo version {version} in round {round}"))?;
        }
    }
    Ok(())
}

/// One has written its ConfigMap and is slow; meanwhile the other does all of its work. Then the first goes on.
#[test]
fn a_version_that_is_overtaken_between_its_objects_finishes_both() -> Result<()> {
    let namespace = Namespace::new("versions-slow")?;
    let hold = HeldRequest::new("PATCH /apis/apps/v1/namespaces/versions-slow/deployments/")?;
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), kubeconfig(&hold.server, "{}"))?;
    let path = config.path().to_string_lossy();
    let mut slow = Runner::new()?;
    let road = [("kubeconfig", path.as_ref())];
    let command = slow.connect_command_with_only(&[&inputs("versions-slow", 0, &[]), &road[..]].concat());
    let connecting = slow.start_step(command)?;
    hold.wait()?;
    let same_size = [("storage", "50Gi")];
    let mut fast = Runner::new()?;
    fast.connect(&inputs("versions-slow", 1, &same_size))?.ok()?;
    ensure!(versions(&namespace)? == [1, 1], "{:?}", versions(&namespace)?);
    hold.release()?;
    let overtaken = slow.finish_step(connecting)?.ok()?;
    ensure!(versions(&namespace)? == [0, 0], "{:?}", versions(&namespace)?);
    // Both have a builder that works, although the agent changed under one of them.
    for runner in [&fast, &slow] {
        runner.build("RUN echo built")?;
    }
    record_seconds(overtaken.seconds)
}

/// Each brings the agent up to its own version, again and again.
#[test]
fn two_versions_that_both_insist_leave_one_of_them() -> Result<()> {
    let namespace = Namespace::new("versions-always")?;
    Runner::new()?.connect(&inputs("versions-always", 0, &[]))?.ok()?;
    let jobs: Vec<_> = (0..6)
        .map(|job| {
            thread::spawn(move || -> Result<()> {
                // A claim that has grown does not shrink: what is brought up to date is the same in both.
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
fn what_a_killed_job_left_half_done_is_put_right() -> Result<()> {
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
        // As the killed job did.
        let apply = ["apply", "--server-side", "--field-manager=remote-buildkit", "-f"];
        namespace.kubectl(&[&apply[..], &[&file]].concat())?;
        ensure!(versions(&namespace)? == [1, 0], "nothing is half done");
        Ok(())
    };

    // By a job with the inputs of the Deployment, without another pod.
    leave_half()?;
    let healed = Runner::new()?.connect(&inputs("versions-killed", 0, &[]))?.ok()?;
    ensure!(
        healed.log.contains("did not match its Deployment: repaired"),
        "{}",
        healed.log
    );
    ensure!(healed.outputs["agent"] == first.outputs["agent"], "another pod");
    let data: Value = namespace.json(&["get", "configmap", AGENT])?["data"].clone();
    assert_eq!(data, kept);
    let quiet = Runner::new()?.connect(&inputs("versions-killed", 0, &[]))?.ok()?;
    ensure!(
        !quiet.log.contains("did not match its Deployment: repaired"),
        "{}",
        quiet.log
    );

    // By the killed job, run again: it had brought the agent up to its version.
    leave_half()?;
    let again = [("deploy", "always")];
    let healed = Runner::new()?
        .connect(&inputs("versions-killed", 1, &again))?
        .ok()?;
    ensure!(healed.log.contains("Updated agent"), "{}", healed.log);
    ensure!(versions(&namespace)? == [1, 1], "{:?}", versions(&namespace)?);
    Ok(())
}
