//! ECR, which gives the passwords of registries.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::scenario::{Answers, Scenario};
use crate::support::{LAB, emulator};

const OPERATION: &str = "GetAuthorizationToken";

fn scenario(name: &str, timeout: u32) -> Result<Scenario> {
    Ok(Scenario::new(name, timeout)?.input("ecr", "auto"))
}

#[test]
fn throttles_five_times() -> Result<()> {
    let mut scenario = scenario("ecr-throttles", 40)?;
    let _answers = Answers::of(OPERATION, 400, "ThrottlingException", 5)?;
    let outcome = scenario.connects()?;
    ensure!(outcome.log.contains("Retrying"), "{}", outcome.log);
    Ok(())
}

#[test]
fn errs_throughout() -> Result<()> {
    let mut scenario = scenario("ecr-errs", 5)?;
    let answers = Answers::of(OPERATION, 500, "ServerException", 1000)?;
    scenario.fails("ECR login failed", &["ServerException", "timeout of 5 s"])?;
    answers.end();
    scenario.heals()
}

#[test]
fn says_that_keys_have_expired() -> Result<()> {
    let mut scenario = scenario("ecr-expired", 20)?;
    let _answers = Answers::of(OPERATION, 400, "ExpiredTokenException", 1000)?;
    scenario.fails("ECR login failed", &["ExpiredTokenException"])?;
    Ok(())
}

/// In hour six: a build asks, ECR does not answer, and the password from before is good for a while yet.
#[test]
fn errs_while_a_password_is_good_and_then_not() -> Result<()> {
    let mut scenario = scenario("ecr-renewal", 40)?;
    emulator("/_stub/ecr", &json!({"lasts": 600}))?;
    let step = scenario.start()?;
    let connected = scenario.runner.finish(step);
    emulator("/_stub/ecr", &json!({"lasts": 43200}))?;
    connected?.ok()?;

    let answers = Answers::of(OPERATION, 400, "AccessDeniedException", 1000)?;
    let (code, login) = scenario.runner.helper("get", &LAB.ecr)?;
    ensure!(
        code == Some(0) && login.contains(r#""Username":"AWS""#),
        "{code:?} {login}"
    );
    // The same with none that is good.
    let session = scenario.runner.env["REMOTE_BUILDKIT_SESSION"].clone();
    std::fs::remove_file(format!("{session}/logins.json"))?;
    let (code, said) = scenario.runner.helper("get", &LAB.ecr)?;
    ensure!(code == Some(1) && said.lines().count() == 1, "{code:?} {said}");
    ensure!(said.contains("AccessDeniedException"), "{said}");
    answers.end();
    let (code, login) = scenario.runner.helper("get", &LAB.ecr)?;
    ensure!(code == Some(0) && login.contains("Secret"), "{code:?} {login}");
    scenario.runner.disconnect()?.ok()?;
    Ok(())
}
