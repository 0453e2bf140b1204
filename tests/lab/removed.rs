//! Permissions and objects that are removed while connect waits for an agent.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::rbac::grant;
use crate::support::{Namespace, Outcome, Runner, RunnerSnapshot, record_seconds, role};

/// Runs `connect` for an agent that waits for a node that does not exist, and meanwhile calls `remove`. connect must
/// end long before its timeout of five minutes, and before it gives up on an agent without a node.
fn remove_while_waiting(
    namespace: &Namespace,
    inputs: &[(&str, &str)],
    remove: impl FnOnce() -> Result<()>,
) -> Result<(Runner, RunnerSnapshot, Outcome)> {
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let usual = [
        ("namespace", namespace.0.as_str()),
        ("node-selector", "disk=floppy"),
    ];
    let mut connecting = runner.start(runner.connect_command(&[&usual, inputs].concat()))?;
    connecting.wait_for_line("deployed it")?;
    remove()?;
    let since = Instant::now();
    let outcome = runner.finish(connecting)?;
    ensure!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
    Ok((runner, before, outcome))
}

#[test]
fn removed_permission_ends_the_wait() -> Result<()> {
    let namespace = Namespace::new("taken-rbac")?;
    grant(&namespace, "deploy")?;
    let role = role("ci-no-rbac");
    let inputs = [("role-to-assume", role.as_str())];
    let remove = || namespace.kubectl(&["delete", "rolebinding", "job"]).map(drop);
    let (mut runner, before, outcome) = remove_while_waiting(&namespace, &inputs, remove)?;
    let words = ["in namespace taken-rbac with 403", "Bind a Role"];
    before.ensure_failed_cleanly(&runner, &outcome, "Cluster denied permission (403)", &words)?;

    // With the permission granted again and a node for the agent, the next job succeeds.
    grant(&namespace, "deploy")?;
    let again = [("namespace", "taken-rbac"), ("deploy", "always")];
    runner.connect(&[&again[..], &inputs].concat())?.ok()?;
    runner.build("RUN echo built")?;
    record_seconds(outcome.seconds)
}

#[test]
fn scaling_to_0_ends_the_wait() -> Result<()> {
    let namespace = Namespace::new("taken-scale")?;
    let scale = |replicas: &str| {
        let scaled = namespace.kubectl(&["scale", "deployment", "remote-buildkit-agent", replicas]);
        scaled.map(drop)
    };
    let (mut runner, before, outcome) = remove_while_waiting(&namespace, &[], || scale("--replicas=0"))?;
    before.ensure_failed_cleanly(
        &runner,
        &outcome,
        "Agent cannot be used",
        &["scaled to 0 replicas"],
    )?;

    // Scaling to 0 is a user's decision, which only the user may revert.
    let inputs = [("namespace", "taken-scale"), ("deploy", "always")];
    let refused = runner.connect(&inputs)?;
    before.ensure_failed_cleanly(
        &runner,
        &refused,
        "Agent cannot be used",
        &["scaled to 0 replicas"],
    )?;
    scale("--replicas=1")?;
    runner.connect(&inputs)?.ok()?;
    record_seconds(outcome.seconds)
}

#[test]
fn deleted_agent_ends_the_wait() -> Result<()> {
    let namespace = Namespace::new("taken-agent")?;
    let delete = || {
        let deleted = namespace.kubectl(&["delete", "deployment", "remote-buildkit-agent"]);
        deleted.map(drop)
    };
    let (mut runner, before, outcome) = remove_while_waiting(&namespace, &[], delete)?;
    let words = ["was deleted while connect waited for it", "Run the job again"];
    before.ensure_failed_cleanly(&runner, &outcome, "Agent not found", &words)?;
    runner.connect(&[("namespace", "taken-agent")])?.ok()?;
    record_seconds(outcome.seconds)
}

/// The Deployment replaces deleted pods.
#[test]
fn deleted_pods_do_not_end_the_wait() -> Result<()> {
    let namespace = Namespace::new("taken-pod")?;
    let mut runner = Runner::new()?;
    let command = runner.connect_command(&[("namespace", "taken-pod")]);
    let mut connecting = runner.start(command)?;
    connecting.wait_for_line("deployed it")?;
    let first = loop {
        if let [pod] = &namespace.names("pod")?[..] {
            break pod.clone();
        }
    };
    let force = ["--grace-period=0", "--force"];
    namespace.kubectl(&[&["delete", "pod", &first], &force[..]].concat())?;
    // Delete the next one too, when it has started and is about to be probed.
    connecting.wait_for_line("container started")?;
    let pods = namespace.names("pod")?;
    for pod in &pods {
        namespace.kubectl(&[&["delete", "pod", pod], &force[..]].concat())?;
    }
    let connected = runner.finish(connecting)?.ok()?;
    ensure!(
        connected.outputs["agent"] != first && !pods.contains(&connected.outputs["agent"]),
        "{:?} is one of {first}, {pods:?}",
        connected.outputs["agent"]
    );
    runner.build("RUN echo built")?;
    record_seconds(connected.seconds)
}
