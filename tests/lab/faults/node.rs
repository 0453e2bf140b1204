//! The agent's node without its network.

use std::process::Output;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::support::scenario::Scenario;
use crate::support::step::record_seconds;
use crate::support::{LAB, Namespace, Runner, RunnerSnapshot, output};

fn cut_off() -> Result<lab::Fault> {
    LAB.disconnect(LAB.nodes.first().context("a node")?)
}

#[test]
fn disconnected_while_connect_waits() -> Result<()> {
    let mut scenario = Scenario::new("node-goes", 7)?;
    let mut step = scenario.start()?;
    step.wait_for_line("deployed it")?;
    let fault = cut_off()?;
    scenario.expect_failure_of(
        step,
        "Agent not ready in time",
        &["node-goes/remote-buildkit-agent"],
    )?;
    fault.end()?;
    scenario.expect_recovery()
}

#[test]
fn disconnected_before_connect() -> Result<()> {
    let mut scenario = Scenario::new("node-gone", 17)?;
    scenario.deploy_agent()?;
    let fault = cut_off()?;
    scenario.expect_failure(
        "Timed out",
        &["failed: no response within 15 s", "timeout of 17 s"],
    )?;
    fault.end()?;
    scenario.expect_recovery()
}

/// buildx fails in this case, and builds again once the node is back.
#[test]
fn disconnected_between_connect_and_build() -> Result<()> {
    let _namespace = Namespace::new("node-leaves")?;
    let namespace = ("namespace", "node-leaves");
    let mut first = Runner::new()?;
    first.connect(&[namespace])?.ok()?;
    first.disconnect()?.ok()?;
    let mut runner = Runner::new()?;
    runner.connect(&[namespace, ("timeout", "20s")])?.ok()?;
    let fault = cut_off()?;
    let started = Instant::now();
    let built = build(&runner)?;
    record_seconds(started.elapsed().as_secs_f64())?;
    // Not stopped by `timeout`, which has its own exit code.
    ensure!(built.status.code() == Some(1), "{built:?}");
    fault.end()?;
    let built = build(&runner)?;
    ensure!(built.status.success(), "{built:?}");
    runner.disconnect()?.ok()?;
    RunnerSnapshot::ensure_no_processes(&runner)
}

/// Runs a build and stops it after two minutes.
fn build(runner: &Runner) -> Result<Output> {
    let context = tempfile::tempdir()?;
    let dockerfile = format!("FROM {}/busybox\nRUN echo built\n", LAB.registry);
    std::fs::write(context.path().join("Dockerfile"), dockerfile)?;
    let mut build = runner.command("timeout");
    build
        .arg("120")
        .arg(LAB.bin.join("docker-buildx"))
        .arg("build")
        .arg(context.path());
    output(&mut build)
}
