//! `unavailable: local`: a job that can have no OIDC token builds with buildx's own builder, without the agent.

use crate::error_code::ErrorCode;
use crate::github::{self, NoTokenReason};
use crate::inputs::{AwsIdentity, ClusterAccess, Plan, Unavailable};
use crate::problem::Problem;
use crate::report::say;

/// Returns why the job builds locally. `None` is for every job that could have a token, and every failure.
pub(super) fn reason(plan: &Plan) -> Option<NoTokenReason> {
    (plan.unavailable == Unavailable::Local && needs_token(plan))
        .then(github::no_token_reason)
        .flatten()
}

/// Returns whether the job signs in with its OIDC token.
fn needs_token(plan: &Plan) -> bool {
    let is_role = |identity: &AwsIdentity| matches!(identity, AwsIdentity::Role(_));
    let by_cluster = matches!(&plan.cluster_access, ClusterAccess::Eks { identity, .. } if is_role(identity));
    by_cluster
        || plan
            .registries
            .as_ref()
            .is_some_and(|registries| is_role(&registries.identity))
}

/// Tells the user and later steps that the builds of this job are local. Nothing is selected or changed.
pub(super) fn build_locally(reason: &NoTokenReason) -> anyhow::Result<()> {
    let warning = warning(reason);
    github::warn(&warning);
    say(&format!("warning: {warning}"));
    github::set_output("remote", "false")
}

fn warning(reason: &NoTokenReason) -> Problem {
    Problem::new(
        ErrorCode::BuildsLocally,
        format!(
            "{reason}, so GitHub gives it no OIDC token, and it cannot sign in. Its builds use buildx's own local builder, \
             without the agent and its cache, because of `unavailable: local`."
        ),
        "Set `unavailable: fail` to let such jobs fail instead.",
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::inputs;

    #[test]
    fn only_a_role_needs_the_jobs_token() {
        let needs = |flags: &[&str]| {
            let line = ["remote-buildkit", "connect"].iter().chain(flags);
            let Command::Connect(args) = Cli::parse_from(line).command else {
                panic!("not connect");
            };
            needs_token(&inputs::connect(&args).expect("valid inputs"))
        };
        let role = "--role-to-assume=arn:aws:iam::123456789012:role/ci";
        assert!(needs(&["--cluster=shop", role]));
        assert!(needs(&["--kubeconfig=in-cluster", "--ecr=auto", role]));
        assert!(!needs(&["--cluster=shop"]));
        assert!(!needs(&["--kubeconfig=in-cluster"]));
    }

    #[test]
    fn warnings() {
        let fork = NoTokenReason::Fork(Some("octocat/shop".into()));
        let texts = [fork, NoTokenReason::Fork(None), NoTokenReason::Dependabot]
            .map(|reason| warning(&reason).to_string());
        insta::assert_snapshot!(texts.join("\n\n"));
    }
}
