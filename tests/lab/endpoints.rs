//! GitHub and AWS endpoints that fail for one job: its environment names another address, or its role is denied.

use anyhow::{Result, ensure};

use crate::support::role;
use crate::support::scenario::Scenario;

#[test]
fn oidc_endpoint_refuses_connections() -> Result<()> {
    let url = "http://127.0.0.1:9/idtoken";
    let mut scenario = Scenario::new("oidc-refuses", 5)?.env("ACTIONS_ID_TOKEN_REQUEST_URL", url)?;
    scenario.expect_failure(
        "No OIDC token for this job",
        &["Connection refused", "timeout of 5 s"],
    )?;
    scenario.expect_recovery()
}

/// The emulator denies the action because the role's policy does not allow it.
#[test]
fn ecr_denies_the_role() -> Result<()> {
    let mut scenario = Scenario::new("ecr-denies", 20)?
        .input("ecr", "auto")
        .input("role-to-assume", &role("ci-no-ecr"));
    let outcome = scenario.expect_failure(
        "ECR login failed",
        &[
            "AccessDenied",
            "ecr:GetAuthorizationToken",
            "remove this registry from `ecr`",
        ],
    )?;
    ensure!(!outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn ecr_endpoint_refuses_connections() -> Result<()> {
    let mut scenario = Scenario::new("ecr-nowhere", 20)?
        .input("ecr", "eu-nowhere-1")
        .env("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:9")?;
    scenario.expect_failure("Cannot reach ECR", &["eu-nowhere-1", "Connection refused"])?;
    Ok(())
}
