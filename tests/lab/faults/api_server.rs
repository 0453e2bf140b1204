//! An API server that is down, or that is up and does not respond.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::support::scenario::{Scenario, probe_is_running};
use crate::support::{LAB, wait_for};

const SERVER: &str = "apiserver";

#[test]
fn refuses_connections_briefly() -> Result<()> {
    let mut scenario = Scenario::new("server-returns", 60)?;
    scenario.deploy_agent()?;
    let fault = LAB.kill(SERVER)?;
    let mut step = scenario.start()?;
    step.wait_for_line("Retrying")?;
    fault.end()?;
    scenario.expect_success_of(step).map(drop)
}

/// A restarted server denies every request for a moment, until it has read the Roles. The kubelet starts the pod when its
/// watch is back, which takes up to a minute after several faults in a row: client-go doubles its pauses up to 30 s.
#[test]
fn restarts_while_connect_waits() -> Result<()> {
    let mut scenario = Scenario::new("server-restarts", 150)?;
    let mut step = scenario.start()?;
    step.wait_for_line("volume bound")?;
    LAB.kill(SERVER)?.end()?;
    scenario.expect_success_of(step).map(drop)
}

#[test]
fn refuses_connections_permanently() -> Result<()> {
    let mut scenario = Scenario::new("server-away", 5)?;
    let fault = LAB.kill(SERVER)?;
    scenario.expect_failure(
        "Cannot reach the cluster",
        &["Connection refused", "timeout of 5 s"],
    )?;
    fault.end()?;
    scenario.expect_recovery()
}

#[test]
fn frozen_before_the_first_response() -> Result<()> {
    let mut scenario = Scenario::new("server-silent", 5)?;
    let fault = LAB.freeze(SERVER)?;
    scenario.expect_failure(
        "Cannot reach the cluster",
        &[
            "did not answer `get deployments`",
            "no response within",
            "The last completed step: Cluster demo",
        ],
    )?;
    fault.end()?;
    scenario.expect_recovery()
}

#[test]
fn frozen_while_connect_waits() -> Result<()> {
    let mut scenario = Scenario::new("server-freezes", 7)?;
    let mut step = scenario.start()?;
    step.wait_for_line("volume bound")?;
    let fault = LAB.freeze(SERVER)?;
    scenario.expect_failure_of(
        step,
        "Agent not ready in time",
        &["server-freezes/remote-buildkit-agent"],
    )?;
    fault.end()?;
    scenario.expect_recovery()
}

#[test]
fn frozen_briefly_while_connect_waits() -> Result<()> {
    let mut scenario = Scenario::new("server-naps", 60)?;
    let mut step = scenario.start()?;
    step.wait_for_line("deployed it")?;
    let fault = LAB.freeze(SERVER)?;
    sleep(Duration::from_secs(3));
    fault.end()?;
    scenario.expect_success_of(step).map(drop)
}

#[test]
fn frozen_during_exec() -> Result<()> {
    let mut scenario = Scenario::new("server-exec", 7)?;
    let pod = scenario.deploy_agent()?;
    // A stopped daemon keeps the exec open.
    scenario.namespace.signal(&pod, "SIGSTOP")?;
    let step = scenario.start()?;
    wait_for("the exec of the probe", probe_is_running)?;
    let fault = LAB.freeze(SERVER)?;
    scenario.expect_failure_of(step, "Timed out", &["Found agent"])?;
    fault.end()?;
    scenario.namespace.signal(&pod, "SIGCONT")?;
    scenario.expect_recovery()
}
