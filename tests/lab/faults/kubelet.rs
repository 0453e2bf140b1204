//! The kubelet of the agent's node.

use anyhow::{Context, Result};

use crate::support::scenario::Scenario;
use crate::support::{LAB, kubectl, wait_for};

const KUBELET: &str = "kubelet-node1";

#[test]
fn down_before_the_pod_starts() -> Result<()> {
    let mut scenario = Scenario::new("kubelet-absent", 7)?;
    let fault = LAB.kill(KUBELET)?;
    scenario.expect_failure("Agent not ready in time", &["node1"])?;
    fault.end()?;
    scenario.expect_recovery()
}

#[test]
fn down_with_a_running_agent() -> Result<()> {
    let mut scenario = Scenario::new("kubelet-down", 5)?;
    scenario.deploy_agent()?;
    let fault = LAB.kill(KUBELET)?;
    scenario.expect_failure("BuildKit does not respond", &["10250", "connection refused"])?;
    fault.end()?;
    scenario.expect_recovery()
}

/// As on an EKS node that has just joined (docker/buildx#2668).
#[test]
fn certificate_is_approved_late() -> Result<()> {
    let mut scenario = Scenario::new("kubelet-certificate", 60)?;
    scenario.deploy_agent()?;
    let dir = tempfile::tempdir()?;
    let cert_dir = format!("--cert-dir={}", dir.path().display());
    let arguments = [
        "--tls-cert-file=",
        "--tls-private-key-file=",
        "--rotate-server-certificates",
        &cert_dir,
    ];
    let fault = LAB.restart_with(KUBELET, &arguments)?;
    let mut step = scenario.start()?;
    step.wait_for_line("tls: internal error")?;
    // The kubelet listens before it has requested its certificate.
    wait_for("the kubelet's request", || Ok(!pending_requests()?.is_empty()))?;
    for request in pending_requests()? {
        kubectl(&["certificate", "approve", &request])?;
    }
    scenario.expect_success_of(step)?;
    fault.end()?;
    scenario.expect_recovery()
}

/// Returns the certificate requests that are neither approved nor denied.
fn pending_requests() -> Result<Vec<String>> {
    let list = crate::support::kubectl_json(&["get", "certificatesigningrequests"])?;
    let items = list["items"].as_array().context("no list")?;
    let pending = items.iter().filter(|item| item["status"]["conditions"].is_null());
    let names = pending.filter_map(|item| item["metadata"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}
