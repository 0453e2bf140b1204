//! Errors of EKS and STS.

use anyhow::{Result, ensure};

use crate::support::scenario::{Scenario, ServiceErrors};

#[test]
fn eks_throttles_five_times() -> Result<()> {
    let mut scenario = Scenario::new("eks-throttles", 40)?;
    let _errors = ServiceErrors::set("DescribeCluster", 429, "ThrottlingException", 5)?;
    let outcome = scenario.expect_success()?;
    ensure!(outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn sts_throttles_five_times() -> Result<()> {
    let mut scenario = Scenario::new("sts-throttles", 40)?;
    let _errors = ServiceErrors::set("AssumeRoleWithWebIdentity", 400, "Throttling", 5)?;
    let outcome = scenario.expect_success()?;
    ensure!(outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn sts_is_unavailable() -> Result<()> {
    let mut scenario = Scenario::new("sts-unavailable", 5)?;
    let errors = ServiceErrors::set("AssumeRoleWithWebIdentity", 503, "ServiceUnavailable", 1000)?;
    scenario.expect_failure("Cannot assume role", &["ServiceUnavailable", "timeout of 5 s"])?;
    errors.clear();
    scenario.expect_recovery()
}
