//! ECR, which gives the passwords of registries.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::support::{LAB, emulator, role};
use crate::trial::{Answers, Trial};

const OPERATION: &str = "GetAuthorizationToken";

fn trial(name: &str, timeout: u32) -> Result<Trial> {
    Ok(Trial::new(name, timeout)?.input("ecr", "auto"))
}

#[test]
fn throttles_five_times() -> Result<()> {
    let mut trial = trial("ecr-throttles", 40)?;
    let _answers = Answers::of(OPERATION, 400, "ThrottlingException", 5)?;
    let outcome = trial.connects()?;
    ensure!(outcome.log.contains("Trying again"), "{}", outcome.log);
    Ok(())
}

#[test]
fn errs_throughout() -> Result<()> {
    let mut trial = trial("ecr-errs", 5)?;
    let answers = Answers::of(OPERATION, 500, "ServerException", 1000)?;
    trial.fails("ECR login failed", &["ServerException", "timeout of 5 s"])?;
    answers.end();
    trial.heals()
}

/// The emulator's own answer to a role whose policy does not have it.
#[test]
fn denies_a_role() -> Result<()> {
    let mut trial = trial("ecr-denies", 20)?.input("role-to-assume", &role("ci-no-ecr"));
    let outcome = trial.fails(
        "ECR login failed",
        &["AccessDenied", "ecr:GetAuthorizationToken", "the input `ecr`"],
    )?;
    ensure!(!outcome.log.contains("Trying again"), "{}", outcome.log);
    Ok(())
}

#[test]
fn says_that_keys_have_expired() -> Result<()> {
    let mut trial = trial("ecr-expired", 20)?;
    let _answers = Answers::of(OPERATION, 400, "ExpiredTokenException", 1000)?;
    trial.fails("ECR login failed", &["ExpiredTokenException"])?;
    Ok(())
}

#[test]
fn of_a_region_that_is_none_is_not_reached() -> Result<()> {
    let mut trial = trial("ecr-nowhere", 20)?
        .input("ecr", "eu-nowhere-1")
        .env("AWS_ENDPOINT_URL_ECR", "http://127.0.0.1:9")?;
    trial.fails("Cannot reach ECR", &["eu-nowhere-1", "Connection refused"])?;
    Ok(())
}

/// In hour six: a build asks, ECR does not answer, and the password from before is good for a while yet.
#[test]
fn errs_while_a_password_is_good_and_then_not() -> Result<()> {
    let mut trial = trial("ecr-renewal", 40)?;
    emulator("/_stub/ecr", &json!({"lasts": 600}))?;
    let step = trial.start()?;
    let connected = trial.runner.finish(step);
    emulator("/_stub/ecr", &json!({"lasts": 43200}))?;
    connected?.ok()?;

    let answers = Answers::of(OPERATION, 400, "AccessDeniedException", 1000)?;
    let (code, login) = trial.runner.helper("get", &LAB.ecr)?;
    ensure!(
        code == Some(0) && login.contains(r#""Username":"AWS""#),
        "{code:?} {login}"
    );
    // The same with none that is good.
    let session = trial.runner.env["REMOTE_BUILDKIT_SESSION"].clone();
    std::fs::remove_file(format!("{session}/logins.json"))?;
    let (code, said) = trial.runner.helper("get", &LAB.ecr)?;
    ensure!(code == Some(1) && said.lines().count() == 1, "{code:?} {said}");
    ensure!(said.contains("AccessDeniedException"), "{said}");
    answers.end();
    let (code, login) = trial.runner.helper("get", &LAB.ecr)?;
    ensure!(code == Some(0) && login.contains("Secret"), "{code:?} {login}");
    trial.runner.disconnect()?.ok()?;
    Ok(())
}
