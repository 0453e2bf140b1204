//! The cache outlives the pod and the node's containers.

use anyhow::{Result, ensure};

use crate::support::{Namespace, Runner};

/// Runs a build with a layer and a cache mount. The log shows whether the layer was cached and the mount's content.
fn build(runner: &Runner, round: &str) -> Result<String> {
    runner.build(&format!(
        "RUN echo layer > /layer\n\
         RUN --mount=type=cache,target=/cache echo {round} >> /cache/log; echo mount: $(cat /cache/log)"
    ))
}

#[test]
fn the_cache_outlives_the_pod_and_the_nodes_containers() -> Result<()> {
    let namespace = Namespace::new("restart")?;
    let mut runner = Runner::new()?;
    let first = runner.connect(&[("namespace", "restart")])?.ok()?;
    build(&runner, "one")?;

    // With a grace period of one second, because an agent drains as long as builds run.
    let pod = &first.outputs["agent"];
    namespace.kubectl(&["delete", "pod", pod, "--grace-period=1"])?;
    let mut runner = Runner::new()?;
    let second = runner.connect(&[("namespace", "restart")])?.ok()?;
    ensure!(second.outputs["agent"] != *pod, "the same pod serves");
    let log = build(&runner, "two")?;
    ensure!(log.contains("mount: one two"), "{log}");
    ensure!(log.contains("CACHED"), "{log}");

    kill_containers(&namespace, &second.outputs["agent"])?;
    let mut runner = Runner::new()?;
    runner.connect(&[("namespace", "restart")])?.ok()?;
    let log = build(&runner, "three")?;
    ensure!(log.contains("mount: one two three"), "{log}");
    ensure!(log.contains("CACHED"), "{log}");
    Ok(())
}

/// Kills the processes of a pod's containers on its node, without using Kubernetes.
fn kill_containers(namespace: &Namespace, pod: &str) -> Result<()> {
    namespace.signal(pod, "SIGKILL")?;
    // Until the kubelet has seen it, the pod still counts as ready.
    namespace.kubectl(&[
        "wait",
        "pod",
        "--all",
        "--for=condition=Ready=false",
        "--timeout=60s",
    ])?;
    Ok(())
}
