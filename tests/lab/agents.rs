//! Agents whose pod is deleted or whose Deployment is scaled to 0.

use anyhow::{Context, Result};

use crate::support::scenario::Scenario;
use crate::support::wait_for;

const FORCE: [&str; 3] = ["--grace-period=0", "--force", "--wait=false"];

#[test]
fn pod_is_deleted_while_connect_waits() -> Result<()> {
    let mut scenario = Scenario::new("pod-deleted", 60)?;
    let mut step = scenario.start()?;
    step.wait_for_line("deployed it")?;
    let pods = || scenario.namespace.names("pod");
    wait_for("the pod", || Ok(!pods()?.is_empty()))?;
    let pod = pods()?.pop().context("no pod")?;
    scenario
        .namespace
        .kubectl(&[&["delete", "pod", &pod], &FORCE[..]].concat())?;
    scenario.expect_success_of(step).map(drop)
}

#[test]
fn deployment_is_scaled_to_0_before_connect() -> Result<()> {
    let mut scenario = Scenario::new("scaled", 30)?;
    scenario.deploy_agent()?;
    scale(&scenario, "0")?;
    scenario.expect_failure("Agent cannot be used", &["it is scaled to 0 replicas"])?;
    scale(&scenario, "1")?;
    scenario.expect_recovery()
}

fn scale(scenario: &Scenario, replicas: &str) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    let scale = ["scale", "deployment", "remote-buildkit-agent", &replicas];
    scenario.namespace.kubectl(&scale).map(drop)
}
