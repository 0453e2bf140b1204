//! An API server that cannot be reached because its endpoint is private or restricted.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ipv6::kubeconfig;
use crate::support::{LAB, Rewrite, Runner};

/// Runs `connect` with a changed answer of EKS, checks that it cannot reach the cluster, and returns the log.
fn refused(change: fn(&mut Value)) -> Result<String> {
    let aws = Rewrite::aws(&LAB.aws_endpoint, change)?;
    let mut runner = Runner::new()?;
    runner.env.insert("AWS_ENDPOINT_URL".into(), aws.url());
    let outcome = runner.connect(&[("timeout", "3s")])?;
    ensure!(
        outcome.code == Some(1) && outcome.log.contains("Cannot reach the cluster"),
        "{}",
        outcome.log
    );
    Ok(outcome.log)
}

/// An address where no server listens.
const NOWHERE: &str = "https://127.0.0.1:9";

#[test]
fn private_endpoint_is_reported() -> Result<()> {
    let log = refused(|answer| {
        if let Some(cluster) = answer.get_mut("cluster") {
            cluster["endpoint"] = NOWHERE.into();
            cluster["resourcesVpcConfig"]["endpointPublicAccess"] = false.into();
            cluster["resourcesVpcConfig"]["endpointPrivateAccess"] = true.into();
        }
    })?;
    let expected = format!(
        "Use a runner in the VPC of the cluster {} or in a peered network, because the cluster's endpoint is private.",
        LAB.cluster
    );
    ensure!(log.contains(&expected), "{log}");
    Ok(())
}

#[test]
fn restricted_endpoint_reports_its_networks() -> Result<()> {
    let log = refused(|answer| {
        if let Some(cluster) = answer.get_mut("cluster") {
            cluster["endpoint"] = NOWHERE.into();
            cluster["resourcesVpcConfig"]["publicAccessCidrs"] = json!(["203.0.113.0/24"]);
        }
    })?;
    ensure!(log.contains("is public for 203.0.113.0/24 only"), "{log}");
    Ok(())
}

#[test]
fn private_address_in_a_kubeconfig_is_reported() -> Result<()> {
    let mut runner = Runner::new()?;
    let host = LAB.api_server.trim_start_matches("https://");
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let path = kubeconfig(&runner, &format!("https://{host}:9"))?;
    let outcome = runner.step(
        runner.connect_command_with_only(&[("kubeconfig", &path.to_string_lossy()), ("timeout", "3s")]),
    )?;
    ensure!(
        outcome.code == Some(1) && outcome.log.contains(&format!("{host} is a private address")),
        "{}",
        outcome.log
    );
    Ok(())
}
