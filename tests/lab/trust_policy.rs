//! The role's trust policy, which is the example's: jobs of the repository assume the role with both forms of GitHub's subject,
//! and jobs of other repositories do not.

use anyhow::Result;

use crate::support::{LAB, Namespace, Runner, RunnerSnapshot};

/// Returns a runner whose OIDC tokens name the repository in this form.
fn runner_of(repository: &str) -> Result<Runner> {
    let mut runner = Runner::new()?;
    runner.env.insert(
        "ACTIONS_ID_TOKEN_REQUEST_URL".into(),
        format!("{}&repository={repository}", LAB.oidc_url),
    );
    Ok(runner)
}

#[test]
fn job_with_an_immutable_subject_builds() -> Result<()> {
    let _namespace = Namespace::new("immutable-subject")?;
    let mut runner = runner_of("acme@123456/shop@987654321")?;
    runner.connect(&[("namespace", "immutable-subject")])?.ok()?;
    runner.build("RUN echo built")?;
    runner.disconnect()?.ok()?;
    Ok(())
}

#[test]
fn jobs_of_other_repositories_cannot_assume_the_role() -> Result<()> {
    for repository in [
        "acme-evil/shop",
        "acme/shop-evil",
        // The same names, but other ids: somebody has taken a name that was free.
        "acme@1/shop@2",
        "acme@123456/shop@2",
        "acme@1/shop@987654321",
    ] {
        let mut runner = runner_of(repository)?;
        let before = RunnerSnapshot::take(&runner)?;
        let outcome = runner.step(runner.connect_command(&[]))?;
        let subject = format!("repo:{repository}:ref:refs/heads/main");
        outcome.expect_error("Cannot assume role", &[&subject, "trust policy"])?;
        before.ensure_no_builder(&runner)?;
    }
    Ok(())
}
