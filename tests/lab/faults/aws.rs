//! EKS and STS.

use anyhow::{Result, ensure};

use crate::support::scenario::{Answers, Scenario};

#[test]
fn eks_throttles_five_times() -> Result<()> {
    let mut scenario = Scenario::new("eks-throttles", 40)?;
    let _answers = Answers::of("DescribeCluster", 429, "ThrottlingException", 5)?;
    let outcome = scenario.connects()?;
    ensure!(outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn sts_throttles_five_times() -> Result<()> {
    let mut scenario = Scenario::new("sts-throttles", 40)?;
    let _answers = Answers::of("AssumeRoleWithWebIdentity", 400, "Throttling", 5)?;
    let outcome = scenario.connects()?;
    ensure!(outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn sts_is_unavailable() -> Result<()> {
    let mut scenario = Scenario::new("sts-unavailable", 5)?;
    let answers = Answers::of("AssumeRoleWithWebIdentity", 503, "ServiceUnavailable", 1000)?;
    scenario.fails("Cannot assume role", &["ServiceUnavailable", "timeout of 5 s"])?;
    answers.end();
    scenario.heals()
}
