//! The role's trust policy, which is the example's: jobs of the repository assume the role with both forms of GitHub's subject,
//! and jobs of other repositories do not.

use anyhow::Result;

use crate::support::{LAB, Namespace, Runner, RunnerSnapshot, role};

/// Returns a runner whose OIDC tokens name the repository in this form, and what the job runs for.
fn runner_of(repository: &str, context: &str) -> Result<Runner> {
    let mut runner = Runner::new()?;
    runner.env.insert(
        "ACTIONS_ID_TOKEN_REQUEST_URL".into(),
        format!("{}&repository={repository}&context={context}", LAB.oidc_url),
    );
    Ok(runner)
}

/// Checks that a job cannot assume a role, and that the error shows its subject.
fn expect_refusal(name: &str, repository: &str, context: &str) -> Result<()> {
    let mut runner = runner_of(repository, context)?;
    let before = RunnerSnapshot::take(&runner)?;
    let outcome = runner.step(runner.connect_command(&[("role-to-assume", &role(name))]))?;
    let subject = format!("repo:{repository}:{context}");
    outcome.expect_error("Cannot assume role", &[&subject, "trust policy"])?;
    before.ensure_no_builder(&runner)
}

const MAIN: &str = "ref:refs/heads/main";

#[test]
fn job_with_an_immutable_subject_builds() -> Result<()> {
    let _namespace = Namespace::new("immutable-subject")?;
    let mut runner = runner_of("acme@123456/shop@987654321", MAIN)?;
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
        expect_refusal("ci", repository, MAIN)?;
    }
    Ok(())
}

/// The role of the releases is for the protected branch only.
#[test]
fn only_the_protected_branch_can_assume_the_release_role() -> Result<()> {
    let namespace = Namespace::new("release-role")?;
    let role = role("release");
    for repository in ["acme/shop", "acme@123456/shop@987654321"] {
        for context in ["pull_request", "ref:refs/heads/feature", "environment:production"] {
            expect_refusal("release", repository, context)?;
        }
        let mut runner = runner_of(repository, MAIN)?;
        runner
            .connect(&[("namespace", &namespace.0), ("role-to-assume", &role)])?
            .ok()?;
        runner.disconnect()?.ok()?;
    }
    Ok(())
}
