//! Agents whose root is not the node's.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Runner};

/// A build with a layer and a cache mount, twice, with a new pod in between.
fn builds_and_survives(namespace: &str, isolation: &str) -> Result<()> {
    let inputs = [("namespace", namespace), ("isolation", isolation)];
    let namespace = Namespace::new(namespace)?;
    let mut runner = Runner::new()?;
    let first = runner.connect(&inputs)?.ok()?;
    let log = runner.build(&steps("one"))?;
    ensure!(log.contains("mount: one") && log.contains("id: 0"), "{log}");
    ensure!(
        outside(&namespace, &first.outputs["agent"])? != 0,
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
        "RUN echo layer > /layer; echo id: $(id -u)\n\
         RUN --mount=type=cache,target=/cache echo {round} >> /cache/log; echo mount: $(cat /cache/log)"
    )
}

/// Which user of the node root in a build is: the first line of the map, seen from the container of buildkitd, is
/// where its own root begins.
fn outside(namespace: &Namespace, pod: &str) -> Result<u64> {
    let map = namespace.kubectl(&["exec", pod, "-c", "buildkitd", "--", "cat", "/proc/self/uid_map"])?;
    let first: Vec<u64> = map.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let user: u64 = namespace
        .kubectl(&["exec", pod, "-c", "buildkitd", "--", "id", "-u"])?
        .trim()
        .parse()?;
    let begins = first.get(1).context("no map")?;
    Ok(begins + user)
}

/// Bottlerocket's and EKS Auto Mode's setting, for as long as this lives. It holds for the whole machine.
struct NoUserNamespaces(String);

const MAXIMUM: &str = "/proc/sys/user/max_user_namespaces";

impl NoUserNamespaces {
    fn set() -> Result<Self> {
        let before = fs::read_to_string(MAXIMUM)?;
        fs::write(MAXIMUM, "0")?;
        Ok(Self(before))
    }
}

impl Drop for NoUserNamespaces {
    fn drop(&mut self) {
        let restored = fs::write(MAXIMUM, self.0.trim());
        assert!(restored.is_ok(), "the machine is left without user namespaces");
    }
}

/// One test, because the last part takes user namespaces from the whole machine.
#[test]
fn isolated_agents_build_and_say_when_they_cannot() -> Result<()> {
    builds_and_survives("rootless", "rootless")?;
    builds_and_survives("userns", "user-namespace")?;

    let none = NoUserNamespaces::set()?;
    for isolation in ["rootless", "user-namespace"] {
        let namespace = Namespace::new(&format!("none-{isolation}"))?;
        let outcome = Runner::new()?.connect(&[("namespace", &namespace.0), ("isolation", isolation)])?;
        ensure!(outcome.code == Some(1), "{}", outcome.log);
        for words in [
            "No user namespaces",
            "isolation: privileged",
            "Bottlerocket",
            "max_user_namespaces",
        ] {
            ensure!(
                outcome.log.contains(words),
                "{isolation}: {words} is not in {}",
                outcome.log
            );
        }
    }
    drop(none);
    Ok(())
}

#[test]
fn entitlements_are_granted_when_asked_for_alone() -> Result<()> {
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
    let refused = build(&runner)
        .expect_err("granted without being asked for")
        .to_string();
    ensure!(refused.contains("network.host is not allowed"), "{refused}");

    let mut runner = Runner::new()?;
    let asked = [
        ("namespace", "entitled"),
        ("deploy", "always"),
        ("entitlements", "network.host"),
    ];
    runner.connect(&asked)?.ok()?;
    let log = build(&runner)?;
    ensure!(log.contains("reached"), "{log}");
    Ok(())
}
