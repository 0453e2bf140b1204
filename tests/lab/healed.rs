//! An agent that fails says why, and is put right by what the message says.

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, Untouched};

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
    let before = Untouched::of(&runner)?;
    let outcome = runner.connect(&[&usual, inputs].concat())?;
    before.after(&runner, &outcome, title, words)?;
    mend()?;
    runner.connect(&[&usual, then].concat())?.ok()?;
    runner.build("RUN echo built")?;
    Ok(())
}

#[test]
fn image_that_is_missing() -> Result<()> {
    let namespace = Namespace::new("heal-image")?;
    let image = format!("{}/no/such/image:1", LAB.registry);
    fails_and_heals(
        &namespace,
        &[("image", &image)],
        "Image not pulled",
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
        "No volume for the agent",
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
        &["saying:%0A", "zfs", "the input `buildkitd-config`"],
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
"#,
    )?;
    let logs = "kubectl -n heal-mute logs deployment/remote-buildkit-agent --previous";
    fails_and_heals(
        &namespace,
        &[],
        "Agent keeps crashing",
        &["keeps no words of it", logs],
        || {
            let said = namespace.kubectl(&logs.split(' ').skip(3).collect::<Vec<_>>())?;
            ensure!(said.contains("no-such-flag"), "{said}");
            let delete = ["delete", "deployment", "remote-buildkit-agent"];
            namespace.kubectl(&delete).map(drop)
        },
        &[],
    )
}

/// Something other than the cache fills the volume to its last byte.
#[test]
fn volume_without_a_byte_left() -> Result<()> {
    let namespace = Namespace::new("heal-disk")?;
    let inputs = [
        ("namespace", "heal-disk"),
        ("storage-class", "small"),
        ("storage", "1Gi"),
    ];
    let mut runner = Runner::new()?;
    let pod = runner.connect(&inputs)?.ok()?.outputs["agent"].clone();
    let inside = |script: &str| {
        let sh = ["exec", &pod, "-c", "buildkitd", "--", "sh", "-c", script];
        namespace.kubectl(&sh)
    };
    inside("dd if=/dev/zero of=/var/lib/buildkit/filler bs=64k 2>/dev/null; sync")?;
    let mut second = Runner::new()?;
    let told = second.connect(&inputs)?.ok()?;
    let warning = "::warning title=Cache volume almost full::";
    ensure!(told.log.contains(warning), "{}", told.log);
    let failed = second
        .build("RUN head -c 1m /dev/urandom > /layer")
        .expect_err("no room");
    ensure!(
        format!("{failed:#}").contains("no space left on device"),
        "{failed:#}"
    );
    inside("rm /var/lib/buildkit/filler")?;
    second.build("RUN head -c 1m /dev/urandom > /layer")?;
    Ok(())
}
