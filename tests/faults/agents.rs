//! An agent that others take away meanwhile.

use anyhow::{Context, Result};

use crate::support::wait_for;
use crate::trial::{Trial, probe_runs};

const NOW: [&str; 3] = ["--grace-period=0", "--force", "--wait=false"];

#[test]
fn pod_is_deleted_while_it_is_waited_for() -> Result<()> {
    let mut trial = Trial::new("pod-deleted", 60)?;
    let mut step = trial.start()?;
    step.until("is deployed")?;
    let pods = || trial.namespace.names("pod");
    wait_for("the pod", || Ok(!pods()?.is_empty()))?;
    let pod = pods()?.pop().context("no pod")?;
    trial
        .namespace
        .kubectl(&[&["delete", "pod", &pod], &NOW[..]].concat())?;
    trial.connected(step).map(drop)
}

#[test]
fn pod_is_deleted_during_exec() -> Result<()> {
    let mut trial = Trial::new("pod-deleted-exec", 60)?;
    let pod = trial.agent()?;
    // A daemon that stands still keeps the exec open.
    trial.namespace.signal(&pod, "SIGSTOP")?;
    let step = trial.start()?;
    wait_for("the exec of the probe", probe_runs)?;
    trial
        .namespace
        .kubectl(&[&["delete", "pod", &pod], &NOW[..]].concat())?;
    trial.connected(step).map(drop)
}

#[test]
fn scaled_to_0_before_connect() -> Result<()> {
    let mut trial = Trial::new("scaled", 30)?;
    trial.agent()?;
    scale(&trial, "0")?;
    trial.fails("Agent cannot be used", &["it is scaled to 0 replicas"])?;
    scale(&trial, "1")?;
    trial.heals()
}

fn scale(trial: &Trial, replicas: &str) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    let scale = ["scale", "deployment", "remote-buildkit-agent", &replicas];
    trial.namespace.kubectl(&scale).map(drop)
}
