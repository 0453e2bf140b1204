//! GitHub's OIDC endpoint.

use anyhow::{Result, ensure};

use crate::trial::{Answers, Trial};

const ALWAYS: u32 = 1000;
const NO_TOKEN: &str = "No OIDC token for this job";

#[test]
fn endpoint_errs_three_times() -> Result<()> {
    let mut trial = Trial::new("oidc-errs", 40)?;
    let _answers = Answers::of("IdToken", 500, "", 3)?;
    let outcome = trial.connects()?;
    ensure!(outcome.log.contains("Trying again"), "{}", outcome.log);
    Ok(())
}

#[test]
fn endpoint_errs_always() -> Result<()> {
    let mut trial = Trial::new("oidc-errs-always", 5)?;
    let answers = Answers::of("IdToken", 500, "", ALWAYS)?;
    trial.fails(NO_TOKEN, &["500", "timeout of 5 s"])?;
    answers.end();
    trial.heals()
}

#[test]
fn endpoint_refuses_connections() -> Result<()> {
    let nobody = "http://127.0.0.1:9/idtoken";
    let mut trial = Trial::new("oidc-refuses", 5)?.env("ACTIONS_ID_TOKEN_REQUEST_URL", nobody)?;
    trial.fails(NO_TOKEN, &["Connection refused", "timeout of 5 s"])?;
    trial.heals()
}
