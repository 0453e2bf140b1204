//! An agent that fails says why, and is put right by what the message says.

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, RunnerSnapshot, record_seconds};

/// `connect` fails with this title and these words; then `mend` does what they say, and these inputs connect.
fn fails_and_heals(
    namespace: &Namespace,
    inputs: &[(&str, &str)],
    title: &str,
    words: &[&str],
    mend: impl FnOnce() -> Result<()>,
    then: &[(&str, &str)],
) -> Result<()> {
    let usual = [("namespace", namespace.0.as_str())];
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let outcome = runner.connect(&[&usual, inputs].concat())?;
    before.ensure_failed_cleanly(&runner, &outcome, title, words)?;
    mend()?;
    runner.connect(&[&usual, then].concat())?.ok()?;
    runner.build("RUN echo built")?;
    record_seconds(outcome.seconds)
}

#[test]
fn image_that_is_missing() -> Result<()> {
    let namespace = Namespace::new("heal-image")?;
    let image = format!("{}/no/such/image:1", LAB.registry);
    fails_and_heals(
        &namespace,
        &[("image", &image)],
        "Image pull failed",
        &[&image, "the input `image`"],
        || Ok(()),
        &[("deploy", "always")],
    )
}

#[test]
fn storage_class_that_is_missing() -> Result<()> {
    let namespace = Namespace::new("heal-class")?;
    let delete = ["delete", "deployment,pvc", "remote-buildkit-agent"];
    fails_and_heals(
        &namespace,
        &[("storage-class", "tape")],
        "Cannot provision the volume",
        &["tape", &format!("kubectl -n heal-class {}", delete.join(" "))],
        || namespace.kubectl(&delete).map(drop),
        &[],
    )
}

/// In BuildKit's own terms it is right, and on no node is it so.
#[test]
fn configuration_with_which_the_daemon_crashes() -> Result<()> {
    let namespace = Namespace::new("heal-crash")?;
    let config = "[worker.oci]\nsnapshotter = 'zfs'";
    fails_and_heals(
        &namespace,
        &[("buildkitd-config", config)],
        "Agent keeps crashing",
        &["The end of its log:%0A", "zfs", "the input `buildkitd-config`"],
        || Ok(()),
        &[("deploy", "always")],
    )
}

/// Of an agent made by hand the cluster keeps no words unless it is told to: then the message says who has them.
#[test]
fn daemon_that_crashes_and_whose_words_are_not_kept() -> Result<()> {
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
    fails_and_heals(
        &namespace,
        &[],
        "Agent keeps crashing",
        &["left no log", logs],
        || {
            let said = namespace.kubectl(&logs.split(' ').skip(3).collect::<Vec<_>>())?;
            ensure!(said.contains("no-such-flag"), "{said}");
            let delete = ["delete", "deployment", "remote-buildkit-agent"];
            namespace.kubectl(&delete).map(drop)
        },
        &[],
    )
}
