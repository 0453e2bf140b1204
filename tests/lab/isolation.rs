//! Agents whose root user is not root on the node.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Runner};

/// Runs a build with a layer and a cache mount twice, with a new pod in between, and checks that the cache survives.
fn builds_and_survives(namespace: &str, isolation: &str) -> Result<()> {
    let inputs = [("namespace", namespace), ("isolation", isolation)];
    let namespace = Namespace::new(namespace)?;
    let mut runner = Runner::new()?;
    let first = runner.connect(&inputs)?.ok()?;
    let log = runner.build(&steps("one"))?;
    ensure!(log.contains("mount: one") && log.contains("id: 0"), "{log}");
    // Directories in an image have their usual mode: they inherit no bits from the volume.
    ensure!(log.contains("mode: 755"), "{log}");
    ensure!(
        root_on_node(&namespace, &first.outputs["agent"])? != 0,
        "root in a build is root on the node"
    );

    namespace.kubectl(&["delete", "pod", &first.outputs["agent"]])?;
    let mut runner = Runner::new()?;
    let second = runner.connect(&inputs)?.ok()?;
    ensure!(
        second.outputs["agent"] != first.outputs["agent"],
        "the same pod serves"
    );
    let log = runner.build(&steps("two"))?;
    ensure!(log.contains("mount: one two") && log.contains("CACHED"), "{log}");
    Ok(())
}

fn steps(round: &str) -> String {
    format!(
        "RUN echo layer > /layer; mkdir /dir; echo id: $(id -u) mode: $(stat -c %a /dir)\n\
         RUN --mount=type=cache,target=/cache echo {round} >> /cache/log; echo mount: $(cat /cache/log)"
    )
}

/// Returns the node's user ID that root in a build is mapped to. The first line of `uid_map` in buildkitd's
/// container has the number at which the container's user IDs start.
fn root_on_node(namespace: &Namespace, pod: &str) -> Result<u64> {
    let map = namespace.kubectl(&["exec", pod, "-c", "buildkitd", "--", "cat", "/proc/self/uid_map"])?;
    let first: Vec<u64> = map.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let user: u64 = namespace
        .kubectl(&["exec", pod, "-c", "buildkitd", "--", "id", "-u"])?
        .trim()
        .parse()?;
    let start = first.get(1).context("no map")?;
    Ok(start + user)
}

#[test]
fn rootless_agents_build_with_a_cache() -> Result<()> {
    builds_and_survives("rootless", "rootless")
}

#[test]
fn agents_in_a_user_namespace_build_with_a_cache() -> Result<()> {
    builds_and_survives("userns", "user-namespace")
}

/// Uses what the lab's nodes provide: a seccomp profile that answers like Bottlerocket's kernel, and a container
/// runtime that is too old.
#[test]
fn node_without_user_namespaces_is_reported_at_once() -> Result<()> {
    let profile = "spec: {template: {spec: {containers: [{name: buildkitd, securityContext: {seccompProfile: \
                   {type: Localhost, localhostProfile: no-user-namespaces.json}}}]}}}";
    let runtime = "spec: {template: {spec: {runtimeClassName: no-user-namespaces}}}";
    for (isolation, patch, words) in [
        ("rootless", profile, "no space left on device"),
        ("user-namespace", runtime, "does not support user namespaces"),
    ] {
        let namespace = Namespace::new(&format!("none-{isolation}"))?;
        let inputs = [
            ("namespace", namespace.0.as_str()),
            ("isolation", isolation),
            ("patch", patch),
        ];
        let outcome = Runner::new()?.connect(&inputs)?;
        ensure!(outcome.code == Some(1), "{}", outcome.log);
        for words in [
            "title=No user namespaces",
            words,
            "isolation: privileged",
            "Bottlerocket",
        ] {
            ensure!(
                outcome.log.contains(words),
                "{isolation}: {words} is not in {}",
                outcome.log
            );
        }
    }
    Ok(())
}

/// A rootless agent could not use a cache that belongs to root.
#[test]
fn isolation_of_an_existing_volume_cannot_be_changed() -> Result<()> {
    let namespace = Namespace::new("changed")?;
    Runner::new()?.connect(&[("namespace", "changed")])?.ok()?;
    let changed = [
        ("namespace", "changed"),
        ("deploy", "always"),
        ("isolation", "rootless"),
    ];
    let refused = Runner::new()?.connect(&changed)?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    ensure!(
        refused.log.contains("title=Isolation cannot be changed"),
        "{}",
        refused.log
    );
    // Root in a user namespace is also root on the volume, so this change is allowed.
    let changed = [
        ("namespace", "changed"),
        ("deploy", "always"),
        ("isolation", "user-namespace"),
    ];
    let outcome = Runner::new()?.connect(&changed)?.ok()?;
    let pod = namespace.json(&["get", "pod", &outcome.outputs["agent"]])?;
    ensure!(pod["spec"]["hostUsers"] == false, "{}", pod["spec"]);
    Ok(())
}

#[test]
fn entitlements_are_granted_only_by_the_input() -> Result<()> {
    let _namespace = Namespace::new("entitled")?;
    let build = |runner: &Runner| {
        let context = tempfile::tempdir()?;
        let dockerfile = format!(
            "FROM {}/busybox\nRUN --network=host echo reached\n",
            crate::support::LAB.registry
        );
        fs::write(context.path().join("Dockerfile"), dockerfile)?;
        let path = context.path().to_string_lossy().into_owned();
        runner.buildx(&["build", "--allow", "network.host", "--progress", "plain", &path])
    };
    let mut runner = Runner::new()?;
    runner.connect(&[("namespace", "entitled")])?.ok()?;
    let refused = build(&runner).expect_err("granted without the input").to_string();
    ensure!(refused.contains("network.host is not allowed"), "{refused}");

    let mut runner = Runner::new()?;
    let inputs = [
        ("namespace", "entitled"),
        ("deploy", "always"),
        ("entitlements", "network.host"),
    ];
    runner.connect(&inputs)?.ok()?;
    let log = build(&runner)?;
    ensure!(log.contains("reached"), "{log}");
    Ok(())
}
