//! Errors of GitHub's OIDC endpoint.

use anyhow::{Result, ensure};

use crate::support::scenario::{Scenario, ServiceErrors};

const ALWAYS: u32 = 1000;
const NO_TOKEN: &str = "No OIDC token for this job";

#[test]
fn endpoint_fails_three_times() -> Result<()> {
    let mut scenario = Scenario::new("oidc-errs", 40)?;
    let _errors = ServiceErrors::set("IdToken", 500, "", 3)?;
    let outcome = scenario.expect_success()?;
    ensure!(outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn endpoint_fails_permanently() -> Result<()> {
    let mut scenario = Scenario::new("oidc-errs-always", 5)?;
    let errors = ServiceErrors::set("IdToken", 500, "", ALWAYS)?;
    scenario.expect_failure(NO_TOKEN, &["500", "timeout of 5 s"])?;
    errors.clear();
    scenario.expect_recovery()
}
