//! The agent's node, cut off from everybody.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::support::step::note;
use crate::support::{LAB, Namespace, Runner};
use crate::trial::Trial;

fn cut_off() -> Result<lab::Fault> {
    LAB.cut_off(LAB.nodes.first().context("a node")?)
}

#[test]
fn gone_while_the_agent_is_waited_for() -> Result<()> {
    let mut trial = Trial::new("node-goes", 10)?;
    let mut step = trial.start()?;
    step.until("is deployed")?;
    let fault = cut_off()?;
    trial.failed(
        step,
        "Agent not ready in time",
        &["node-goes/remote-buildkit-agent"],
    )?;
    fault.end()?;
    trial.heals()
}

#[test]
fn gone_before_connect() -> Result<()> {
    let mut trial = Trial::new("node-gone", 17)?;
    trial.agent()?;
    let fault = cut_off()?;
    trial.fails(
        "Timed out",
        &["by exec and got: no answer within 15 s", "timeout of 17 s"],
    )?;
    fault.end()?;
    trial.heals()
}

/// Then it is buildx that fails, and builds again once the node is back.
#[test]
fn gone_between_connect_and_the_build() -> Result<()> {
    let _namespace = Namespace::new("node-leaves")?;
    let mut runner = Runner::new()?;
    runner.connect(&[("namespace", "node-leaves")])?.ok()?;
    let fault = cut_off()?;
    let started = Instant::now();
    let built = runner.build("RUN echo built");
    note(started.elapsed().as_secs_f64())?;
    let error = built.err().context("it was built on a node that is gone")?;
    ensure!(format!("{error:#}").contains("10250"), "{error:#}");
    fault.end()?;
    runner.build("RUN echo built")?;
    runner.disconnect()?.ok()?;
    Ok(())
}
