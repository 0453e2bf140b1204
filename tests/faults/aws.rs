//! EKS and STS.

use anyhow::{Result, ensure};

use crate::trial::{Answers, Trial};

#[test]
fn eks_throttles_five_times() -> Result<()> {
    let mut trial = Trial::new("eks-throttles", 40)?;
    let _answers = Answers::of("DescribeCluster", 429, "ThrottlingException", 5)?;
    let outcome = trial.connects()?;
    ensure!(outcome.log.contains("Trying again"), "{}", outcome.log);
    Ok(())
}

#[test]
fn sts_throttles_five_times() -> Result<()> {
    let mut trial = Trial::new("sts-throttles", 40)?;
    let _answers = Answers::of("AssumeRoleWithWebIdentity", 400, "Throttling", 5)?;
    let outcome = trial.connects()?;
    ensure!(outcome.log.contains("Trying again"), "{}", outcome.log);
    Ok(())
}

#[test]
fn sts_is_unavailable() -> Result<()> {
    let mut trial = Trial::new("sts-unavailable", 5)?;
    let answers = Answers::of("AssumeRoleWithWebIdentity", 503, "ServiceUnavailable", 1000)?;
    trial.fails("Cannot assume role", &["ServiceUnavailable", "timeout of 5 s"])?;
    answers.end();
    trial.heals()
}
