//! An API server that is away, or there and silent.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::support::{LAB, wait_for};
use crate::trial::{Trial, probe_runs};

const SERVER: &str = "apiserver";

#[test]
fn refuses_connections_then_comes_back() -> Result<()> {
    let mut trial = Trial::new("server-returns", 60)?;
    trial.agent()?;
    let fault = LAB.kill(SERVER)?;
    let mut step = trial.start()?;
    step.until("Trying again")?;
    fault.end()?;
    trial.connected(step).map(drop)
}

/// It denies everything for a moment, until it has read the roles.
#[test]
fn is_restarted_while_the_agent_is_waited_for() -> Result<()> {
    let mut trial = Trial::new("server-restarts", 60)?;
    let mut step = trial.start()?;
    step.until("volume bound")?;
    LAB.kill(SERVER)?.end()?;
    trial.connected(step).map(drop)
}

#[test]
fn refuses_connections_throughout() -> Result<()> {
    let mut trial = Trial::new("server-away", 5)?;
    let fault = LAB.kill(SERVER)?;
    trial.fails(
        "Cannot reach the cluster",
        &["Connection refused", "timeout of 5 s"],
    )?;
    fault.end()?;
    trial.heals()
}

#[test]
fn frozen_before_the_first_answer() -> Result<()> {
    let mut trial = Trial::new("server-silent", 5)?;
    let fault = LAB.freeze(SERVER)?;
    trial.fails("Timed out", &["the last step that was done: Cluster demo"])?;
    fault.end()?;
    trial.heals()
}

#[test]
fn frozen_while_the_agent_is_waited_for() -> Result<()> {
    let mut trial = Trial::new("server-freezes", 7)?;
    let mut step = trial.start()?;
    step.until("volume bound")?;
    let fault = LAB.freeze(SERVER)?;
    trial.failed(
        step,
        "Agent not ready in time",
        &["server-freezes/remote-buildkit-agent"],
    )?;
    fault.end()?;
    trial.heals()
}

#[test]
fn frozen_for_moments_while_the_agent_is_waited_for() -> Result<()> {
    let mut trial = Trial::new("server-naps", 60)?;
    let mut step = trial.start()?;
    step.until("is deployed")?;
    let fault = LAB.freeze(SERVER)?;
    sleep(Duration::from_secs(3));
    fault.end()?;
    trial.connected(step).map(drop)
}

#[test]
fn frozen_during_exec() -> Result<()> {
    let mut trial = Trial::new("server-exec", 7)?;
    let pod = trial.agent()?;
    // A daemon that stands still keeps the exec open.
    trial.namespace.signal(&pod, "SIGSTOP")?;
    let step = trial.start()?;
    wait_for("the exec of the probe", probe_runs)?;
    let fault = LAB.freeze(SERVER)?;
    trial.failed(step, "Timed out", &["is there"])?;
    fault.end()?;
    trial.namespace.signal(&pod, "SIGCONT")?;
    trial.heals()
}
