//! Errors of ECR, which issues the registry passwords.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::scenario::{Scenario, ServiceErrors};
use crate::support::{LAB, emulator};

const OPERATION: &str = "GetAuthorizationToken";

fn scenario(name: &str, timeout: u32) -> Result<Scenario> {
    Ok(Scenario::new(name, timeout)?.input("ecr", "auto"))
}

#[test]
fn throttles_five_times() -> Result<()> {
    let mut scenario = scenario("ecr-throttles", 40)?;
    let _errors = ServiceErrors::set(OPERATION, 400, "ThrottlingException", 5)?;
    let outcome = scenario.expect_success()?;
    ensure!(outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn fails_permanently() -> Result<()> {
    let mut scenario = scenario("ecr-errs", 5)?;
    let errors = ServiceErrors::set(OPERATION, 500, "ServerException", 1000)?;
    scenario.expect_failure("ECR login failed", &["ServerException", "timeout of 5 s"])?;
    errors.clear();
    scenario.expect_recovery()
}

#[test]
fn reports_expired_keys() -> Result<()> {
    let mut scenario = scenario("ecr-expired", 20)?;
    let _errors = ServiceErrors::set(OPERATION, 400, "ExpiredTokenException", 1000)?;
    scenario.expect_failure("ECR login failed", &["ExpiredTokenException"])?;
    Ok(())
}

/// In hour six, a build needs a password and ECR returns errors, while the previous password is still valid.
#[test]
fn denies_a_renewal() -> Result<()> {
    let mut scenario = scenario("ecr-renewal", 40)?;
    emulator("/_stub/ecr", &json!({"lifetime": 600}))?;
    let step = scenario.start()?;
    let connected = scenario.runner.finish(step);
    emulator("/_stub/ecr", &json!({"lifetime": 43200}))?;
    connected?.ok()?;

    let errors = ServiceErrors::set(OPERATION, 400, "AccessDeniedException", 1000)?;
    let (code, login) = scenario.runner.credential_helper("get", &LAB.ecr)?;
    ensure!(
        code == Some(0) && login.contains(r#""Username":"AWS""#),
        "{code:?} {login}"
    );
    // The same without a valid password.
    let session = scenario.runner.env["REMOTE_BUILDKIT_SESSION"].clone();
    std::fs::remove_file(format!("{session}/logins.json"))?;
    let (code, text) = scenario.runner.credential_helper("get", &LAB.ecr)?;
    ensure!(code == Some(1) && text.lines().count() == 1, "{code:?} {text}");
    ensure!(text.contains("AccessDeniedException"), "{text}");
    errors.clear();
    let (code, login) = scenario.runner.credential_helper("get", &LAB.ecr)?;
    ensure!(code == Some(0) && login.contains("Secret"), "{code:?} {login}");
    scenario.runner.disconnect()?.ok()?;
    Ok(())
}
