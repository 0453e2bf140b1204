//! An error about a failing agent says why, and following its remedy fixes the agent.

use anyhow::Result;

use crate::support::{LAB, Namespace, Runner, RunnerSnapshot, record_seconds, wait_for};

/// Checks that `connect` fails with this title and these words. Then `fix` does what they say, and `connect` with
/// `fixed_inputs` succeeds.
fn fails_until_fixed(
    namespace: &Namespace,
    inputs: &[(&str, &str)],
    title: &str,
    words: &[&str],
    fix: impl FnOnce() -> Result<()>,
    fixed_inputs: &[(&str, &str)],
) -> Result<()> {
    let usual = [("namespace", namespace.0.as_str())];
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let outcome = runner.connect(&[&usual, inputs].concat())?;
    before.ensure_failed_cleanly(&runner, &outcome, title, words)?;
    fix()?;
    runner.connect(&[&usual, fixed_inputs].concat())?.ok()?;
    runner.build("RUN echo built")?;
    record_seconds(outcome.seconds)
}

#[test]
fn image_does_not_exist() -> Result<()> {
    let namespace = Namespace::new("heal-image")?;
    let image = format!("{}/no/such/image:1", LAB.registry);
    fails_until_fixed(
        &namespace,
        &[("image", &image)],
        "Image pull failed",
        &[&image, "the input `image`"],
        || Ok(()),
        &[("deploy", "always")],
    )
}

#[test]
fn storage_class_does_not_exist() -> Result<()> {
    let namespace = Namespace::new("heal-class")?;
    let delete = ["delete", "deployment,pvc", "remote-buildkit-agent"];
    fails_until_fixed(
        &namespace,
        &[("storage-class", "tape")],
        "Cannot provision the volume",
        &["tape", &format!("kubectl -n heal-class {}", delete.join(" "))],
        || namespace.kubectl(&delete).map(drop),
        &[],
    )
}

/// BuildKit accepts the configuration as valid, but it works on no node.
#[test]
fn configuration_crashes_the_daemon() -> Result<()> {
    let namespace = Namespace::new("heal-crash")?;
    let config = "[worker.oci]\nsnapshotter = 'zfs'";
    fails_until_fixed(
        &namespace,
        &[("buildkitd-config", config)],
        "Agent keeps crashing",
        &["The end of its log:%0A", "zfs", "the input `buildkitd-config`"],
        || Ok(()),
        &[("deploy", "always")],
    )
}

/// For an agent that was created by hand, Kubernetes keeps no termination message by default: the error then names
/// the command that prints the log.
#[test]
fn daemon_crashes_without_a_log() -> Result<()> {
    let namespace = Namespace::new("heal-mute")?;
    namespace.apply(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: remote-buildkit-agent}}
  template:
    metadata: {labels: {app: remote-buildkit-agent}}
    spec:
      containers:
      - name: buildkitd
        image: moby/buildkit:v0.34.2
        args: [--no-such-flag]
        readinessProbe: {exec: {command: [buildctl, debug, workers]}, periodSeconds: 1}
"#,
    )?;
    let logs = "kubectl -n heal-mute logs deployment/remote-buildkit-agent --previous";
    fails_until_fixed(
        &namespace,
        &[],
        "Agent keeps crashing",
        &["left no log", logs],
        || {
            // Until the kubelet has reported the latest restart, it may name a container that it has already deleted.
            wait_for("the log of the previous container", || {
                let log = namespace.kubectl(&logs.split(' ').skip(3).collect::<Vec<_>>());
                Ok(log.is_ok_and(|log| log.contains("no-such-flag")))
            })?;
            let delete = ["delete", "deployment", "remote-buildkit-agent"];
            namespace.kubectl(&delete).map(drop)
        },
        &[],
    )
}
