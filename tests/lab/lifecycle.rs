//! The lifecycle of an agent: update, drain, removal.

use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support::{LAB, Namespace, Runner, output, program};

const AGENT: &str = "deployment/remote-buildkit-agent";

fn generation(namespace: &Namespace) -> Result<Value> {
    Ok(namespace.json(&["get", AGENT])?["metadata"]["generation"].clone())
}

#[test]
fn deploy_always_restarts_only_if_the_pod_changes() -> Result<()> {
    let namespace = Namespace::new("always")?;
    let usual = [("namespace", "always"), ("storage", "60Gi")];
    let always = [&usual[..], &[("deploy", "always")]].concat();
    let first = Runner::new()?.connect(&always)?.ok()?;
    ensure!(first.log.contains("did not exist; deployed it"), "{}", first.log);

    // The same inputs: `always` changes nothing, and `if-absent` reports no difference.
    let before = generation(&namespace)?;
    let same = Runner::new()?.connect(&always)?.ok()?;
    ensure!(same.log.contains("is up to date"), "{}", same.log);
    let quiet = Runner::new()?.connect(&usual)?.ok()?;
    ensure!(!quiet.log.contains("it differs"), "{}", quiet.log);
    ensure!(generation(&namespace)? == before, "something was changed");

    // A label of the Deployment changes without a restart. A patch sets it: the input `labels` also labels the pod.
    let labelled = [("patch", "metadata: {labels: {team: platform}}")];
    let changed = Runner::new()?.connect(&[&always[..], &labelled].concat())?.ok()?;
    ensure!(changed.log.contains("+    team: platform"), "{}", changed.log);
    ensure!(changed.log.contains("its pod keeps running"), "{}", changed.log);
    ensure!(
        changed.outputs["agent"] == first.outputs["agent"],
        "another pod serves"
    );

    // The daemon's configuration changes: a new pod with the same cache.
    let mut runner = Runner::new()?;
    runner.connect(&usual)?.ok()?;
    runner.build("RUN echo layer > /layer")?;
    let configured = [("max-parallelism", "3")];
    let outcome = Runner::new()?
        .connect(&[&usual[..], &configured].concat())?
        .ok()?;
    ensure!(
        outcome
            .log
            .contains("it differs from the inputs in spec.template.metadata.annotations.checksum/config"),
        "{}",
        outcome.log
    );
    let mut runner = Runner::new()?;
    let changed = runner.connect(&[&always[..], &configured].concat())?.ok()?;
    ensure!(
        changed.log.contains("+    max-parallelism = 3"),
        "{}",
        changed.log
    );
    ensure!(
        changed.outputs["agent"] != first.outputs["agent"],
        "the same pod serves"
    );
    let log = runner.build("RUN echo layer > /layer")?;
    ensure!(log.contains("CACHED"), "{log}");
    Ok(())
}

#[test]
fn volumes_grow_and_never_shrink() -> Result<()> {
    let namespace = Namespace::new("volumes")?;
    let inputs = |size| [("namespace", "volumes"), ("deploy", "always"), ("storage", size)];
    Runner::new()?.connect(&inputs("20Gi"))?.ok()?;

    let refused = Runner::new()?.connect(&inputs("10Gi"))?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    for words in [
        "Volume cannot shrink",
        "storage: 10Gi",
        "has 20Gi",
        "Set `storage: 20Gi`",
    ] {
        ensure!(refused.log.contains(words), "{words} is not in {}", refused.log);
    }
    let claim = || namespace.json(&["get", "pvc", "remote-buildkit-agent"]);
    ensure!(
        claim()?["spec"]["resources"]["requests"]["storage"] == "20Gi",
        "the claim was changed"
    );

    let grown = Runner::new()?.connect(&inputs("30Gi"))?.ok()?;
    ensure!(grown.log.contains("+      storage: 30Gi"), "{}", grown.log);
    ensure!(
        claim()?["spec"]["resources"]["requests"]["storage"] == "30Gi",
        "the claim did not grow"
    );
    Ok(())
}

/// An agent that another tool manages stays unchanged, whatever the value of `deploy`.
#[test]
fn unmanaged_agent_is_never_changed() -> Result<()> {
    let namespace = Namespace::new("foreign")?;
    Runner::new()?.connect(&[("namespace", "foreign")])?.ok()?;
    namespace.kubectl(&["label", AGENT, "app.kubernetes.io/managed-by=Helm", "--overwrite"])?;
    let before = namespace.json(&["get", AGENT])?;
    let differing = [
        ("namespace", "foreign"),
        ("deploy", "always"),
        ("memory", "1Gi"),
        ("storage", "70Gi"),
    ];
    let outcome = Runner::new()?.connect(&differing)?.ok()?;
    ensure!(
        outcome.log.contains("created by other tools and left unchanged"),
        "{}",
        outcome.log
    );
    let after = namespace.json(&["get", AGENT])?;
    ensure!(after["metadata"] == before["metadata"], "{}", after["metadata"]);
    ensure!(after["spec"] == before["spec"], "{}", after["spec"]);
    Ok(())
}

/// During a restart, a running build finishes, and a build that starts meanwhile waits for the new pod.
#[test]
fn restart_drains_running_builds() -> Result<()> {
    let namespace = Namespace::new("drain")?;
    let usual = [("namespace", "drain"), ("drain-timeout", "2m")];
    let mut running = Runner::new()?;
    let first = running.connect(&usual)?.ok()?;
    let mut waiting = Runner::new()?;
    waiting.connect(&usual)?.ok()?;
    let long = "RUN echo begun; sleep 15; echo ended\nRUN echo after";
    thread::scope(|scope| {
        let build = scope.spawn(|| running.build(long));
        wait_until(|| {
            Ok(namespace
                .kubectl(&["exec", &first.outputs["agent"], "--", "ps"])?
                .contains("sleep 15"))
        })?;
        let restart = [
            &usual[..],
            &[("deploy", "always"), ("annotations", "example.com/restart=1")],
        ]
        .concat();
        let restarted = scope.spawn(move || Runner::new()?.connect(&restart)?.ok());
        wait_until(|| {
            let pod = namespace.json(&["get", "pod", &first.outputs["agent"]])?;
            Ok(!pod["metadata"]["deletionTimestamp"].is_null())
        })?;
        let second = waiting.build("RUN echo second")?;
        ensure!(
            second.contains("waiting for 1 pods to be ready"),
            "it did not wait: {second}"
        );
        let build = build
            .join()
            .map_err(|_| anyhow::anyhow!("the build panicked"))??;
        ensure!(build.contains("ended") && build.contains("after"), "{build}");
        ensure!(!build.contains("ERROR"), "{build}");
        let restarted = restarted
            .join()
            .map_err(|_| anyhow::anyhow!("connect panicked"))??;
        ensure!(
            restarted.outputs["agent"] != first.outputs["agent"],
            "the same pod serves"
        );
        Ok(())
    })
}

/// A pod that is deleted while a build runs is replaced at once, on the same volume.
#[test]
fn replacement_pod_waits_for_running_builds() -> Result<()> {
    let namespace = Namespace::new("successor")?;
    let mut running = Runner::new()?;
    let first = running.connect(&[("namespace", "successor")])?.ok()?;
    thread::scope(|scope| {
        let build = scope.spawn(|| running.build("RUN sleep 12; echo ended"));
        wait_until(|| {
            Ok(namespace
                .kubectl(&["exec", &first.outputs["agent"], "--", "ps"])?
                .contains("sleep 12"))
        })?;
        namespace.kubectl(&["delete", "pod", &first.outputs["agent"], "--wait=false"])?;
        let mut next = Runner::new()?;
        let second = next.connect(&[("namespace", "successor")])?.ok()?;
        ensure!(
            second.outputs["agent"] != first.outputs["agent"],
            "the same pod serves"
        );
        let build = build
            .join()
            .map_err(|_| anyhow::anyhow!("the build panicked"))??;
        ensure!(build.contains("ended"), "{build}");
        let pod = namespace.json(&["get", "pod", &second.outputs["agent"]])?;
        ensure!(
            pod["status"]["containerStatuses"][0]["restartCount"] == 0,
            "it crashed on the lock: {}",
            pod["status"]
        );
        let log = next.build("RUN sleep 12; echo ended")?;
        ensure!(log.contains("CACHED"), "{log}");
        Ok(())
    })
}

fn wait_until(mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..300 {
        if condition()? {
            return Ok(());
        }
        thread::sleep(std::time::Duration::from_millis(200));
    }
    anyhow::bail!("the condition was not met within a minute")
}

fn destroy(flags: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(program());
    command
        .args(["destroy", "--namespace", "destroy", "--kubeconfig"])
        .arg(&LAB.admin_kubeconfig)
        .args(flags);
    let output = output(&mut command)?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}

#[test]
fn destroy_removes_managed_agents_and_keeps_volumes() -> Result<()> {
    let namespace = Namespace::new("destroy")?;
    Runner::new()?
        .connect(&[("namespace", "destroy"), ("agents", "2")])?
        .ok()?;
    Runner::new()?
        .connect(&[("namespace", "destroy"), ("name", "other")])?
        .ok()?;
    let all = || namespace.names("deployment,configmap,pvc");
    let before = all()?;

    let (code, text) = destroy(&[])?;
    ensure!(
        code == Some(1) && text.contains("Confirmation required"),
        "{code:?} {text}"
    );
    ensure!(all()? == before, "something was removed without a yes");

    let (code, text) = destroy(&["--yes"])?;
    ensure!(
        code == Some(0) && text.contains("kept: PersistentVolumeClaim"),
        "{code:?} {text}"
    );
    ensure!(
        namespace.names("deployment")? == ["other"],
        "{:?}",
        namespace.names("deployment")
    );
    ensure!(namespace.names("pvc")?.len() == 2, "{:?}", namespace.names("pvc"));

    let (code, text) = destroy(&["--yes", "--volumes"])?;
    ensure!(
        code == Some(0) && text.contains("and its cache"),
        "{code:?} {text}"
    );
    let left = namespace.json(&["get", "pvc"])?;
    let left = left["items"].as_array().context("items")?;
    let staying = left
        .iter()
        .filter(|claim| claim["metadata"]["deletionTimestamp"].is_null());
    let staying: Vec<_> = staying.map(|claim| claim["metadata"]["name"].clone()).collect();
    ensure!(staying == ["other"], "{staying:?}");

    let (code, text) = destroy(&["--yes", "--volumes", "--name", "absent"])?;
    ensure!(
        code == Some(0) && text.contains("nothing to delete"),
        "{code:?} {text}"
    );
    Ok(())
}
