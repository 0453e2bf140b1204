//! Validates the flags of `setup`.

use std::time::Duration;

use super::cluster_access::ClusterAccess;
use super::validation::{ValidationErrors, duration};
use super::{agent, cluster_access};
use crate::agent::group::Agents;
use crate::cli::{ClusterArgs, DEFAULT_AUDIENCE, SetupArgs};
use crate::problem::Problem;
use crate::setup::repository::{Repository, Scope, is_scope_name};

/// The validated flags of `setup`.
#[derive(Debug)]
pub struct Setup {
    pub cluster_access: ClusterAccess,
    pub agents: Agents,
    /// `None` for a cluster of a kubeconfig.
    pub aws: Option<AwsSetup>,
    /// Whether to ask for confirmation.
    pub ask: bool,
    pub timeout: Duration,
}

/// What is set up in AWS.
#[derive(Debug)]
pub struct AwsSetup {
    pub cluster: String,
    pub role: String,
    pub repositories: Vec<Repository>,
    pub scope: Scope,
    pub ecr: Vec<EcrRepository>,
    /// Whether to change the cluster's authentication mode without a question.
    pub change_authentication_mode: bool,
}

/// A repository in ECR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EcrRepository {
    /// A repository of the cluster's account and region.
    Name(String),
    Arn(String),
}

/// The default name of the role.
const DEFAULT_ROLE: &str = "remote-buildkit";

/// Validates the flags of `setup`.
pub fn setup(args: &SetupArgs) -> Result<Setup, Problem> {
    let mut errors = ValidationErrors::default();
    let cluster = ClusterArgs {
        cluster: args.cluster.clone(),
        region: args.region.clone(),
        role_to_assume: None,
        audience: DEFAULT_AUDIENCE.into(),
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
    };
    let access = cluster_access::check(&cluster, false, &mut errors);
    let agents = agent::check(&args.agent, &mut errors);
    let timeout = duration("timeout", &args.timeout, &mut errors);
    let aws = match &args.cluster {
        Some(cluster) => Some(aws(cluster, args, &mut errors)),
        None => {
            without_aws(args, &mut errors);
            None
        }
    };
    let setup = access.zip(agents).zip(timeout);
    errors.finish(setup.map(|((cluster_access, agents), timeout)| Setup {
        cluster_access,
        agents,
        aws,
        ask: !args.yes,
        timeout,
    }))
}

fn aws(cluster: &str, args: &SetupArgs, errors: &mut ValidationErrors) -> AwsSetup {
    if args.repositories.is_empty() {
        errors.add(
            "repository",
            "",
            "set the repository on GitHub whose jobs are to build, such as acme/shop",
        );
    }
    let mut repositories: Vec<Repository> = Vec::new();
    for text in &args.repositories {
        match Repository::parse(text) {
            Some(repository) if !repositories.contains(&repository) => repositories.push(repository),
            Some(_) => {}
            None => errors.add(
                "repository",
                text,
                "must be OWNER/NAME, or OWNER@OWNER_ID/NAME@REPOSITORY_ID",
            ),
        }
    }
    let scope = scope(args.branch.as_deref(), args.environment.as_deref(), errors);
    let mut ecr = Vec::new();
    for text in &args.ecr {
        match ecr_repository(text) {
            Some(repository) => ecr.push(repository),
            None => errors.add(
                "ecr",
                text,
                "must be the name of a repository in ECR such as team/shop, or its ARN",
            ),
        }
    }
    let role = args.role_name.clone().unwrap_or_else(|| DEFAULT_ROLE.into());
    errors.check(
        is_role_name(&role),
        "role-name",
        &role,
        "must be at most 64 letters, digits and + = , . @ - _",
    );
    AwsSetup {
        cluster: cluster.to_owned(),
        role,
        repositories,
        scope,
        ecr,
        change_authentication_mode: args.change_authentication_mode,
    }
}

/// Reports the flags that need AWS.
fn without_aws(args: &SetupArgs, errors: &mut ValidationErrors) {
    if args.kubeconfig.is_none() {
        return;
    }
    let first = |values: &[String]| values.first().cloned();
    let flags = [
        ("repository", first(&args.repositories)),
        ("branch", args.branch.clone()),
        ("environment", args.environment.clone()),
        ("ecr", first(&args.ecr)),
        ("role-name", args.role_name.clone()),
    ];
    for (name, value) in flags {
        if let Some(value) = value {
            errors.add(name, &value, "requires `cluster`; `kubeconfig` does not use AWS");
        }
    }
    if args.change_authentication_mode {
        errors.add(
            "change-authentication-mode",
            "",
            "requires `cluster`; `kubeconfig` does not use AWS",
        );
    }
}

fn scope(branch: Option<&str>, environment: Option<&str>, errors: &mut ValidationErrors) -> Scope {
    let allowed = "must be letters, digits and - _ . / # + = @";
    match (branch, environment) {
        (None, None) => Scope::All,
        (Some(branch), None) => {
            errors.check(is_scope_name(branch), "branch", branch, allowed);
            Scope::Branch(branch.to_owned())
        }
        (None, Some(environment)) => {
            errors.check(is_scope_name(environment), "environment", environment, allowed);
            Scope::Environment(environment.to_owned())
        }
        (Some(branch), Some(_)) => {
            errors.add(
                "branch",
                branch,
                "set either `branch` or `environment`: a token names one of them",
            );
            Scope::All
        }
    }
}

fn ecr_repository(text: &str) -> Option<EcrRepository> {
    // What `ecr` of connect means by these is no repository.
    if ["auto", "public"].contains(&text) {
        return None;
    }
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_./".contains(c))
    };
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts[..] {
        [name] if is_name(name) => Some(EcrRepository::Name(name.to_owned())),
        ["arn", partition, "ecr", _, account, resource]
            if partition.starts_with("aws")
                && account.len() == 12
                && account.chars().all(|c| c.is_ascii_digit())
                && resource.strip_prefix("repository/").is_some_and(is_name) =>
        {
            Some(EcrRepository::Arn(text.to_owned()))
        }
        _ => None,
    }
}

/// Returns whether IAM accepts the text as the name of a role.
fn is_role_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(flags: &[&str]) -> Result<Setup, Problem> {
        let line = ["remote-buildkit", "setup"]
            .into_iter()
            .chain(flags.iter().copied());
        let Command::Setup(args) = Cli::parse_from(line).command else {
            panic!("not setup");
        };
        setup(&args)
    }

    #[test]
    fn flags_of_setup() {
        let found = parse(&[
            "--cluster=shop",
            "--repository=acme/shop",
            "--repository=acme/web",
            "--repository=acme/shop",
            "--branch=main",
            "--ecr=team/shop",
            "--ecr=arn:aws:ecr:us-west-2:123456789012:repository/web",
            "--yes",
        ]);
        let found = found.expect("valid");
        let aws = found.aws.expect("AWS");
        let names: Vec<String> = aws.repositories.iter().map(Repository::full_name).collect();
        assert_eq!(names, ["acme/shop", "acme/web"]);
        assert_eq!(aws.scope, Scope::Branch("main".into()));
        assert_eq!(aws.role, "remote-buildkit");
        assert_eq!(aws.ecr[0], EcrRepository::Name("team/shop".into()));
        assert!(matches!(aws.ecr[1], EcrRepository::Arn(_)));
        assert!(!found.ask && !aws.change_authentication_mode);
        assert!(parse(&["--kubeconfig=/k"]).expect("valid").aws.is_none());
    }

    #[test]
    fn invalid_flags_of_setup() {
        let error = |flags: &[&str]| parse(flags).expect_err("invalid").to_string();
        let errors = [
            error(&[]),
            error(&["--cluster=shop"]),
            error(&[
                "--cluster=shop",
                "--repository=acme/*",
                "--branch=main",
                "--environment=release",
                "--ecr=Shop",
                "--ecr=auto",
                "--role-name=a/b",
            ]),
            error(&["--cluster=shop", "--repository=acme/shop", "--branch=${x}"]),
            error(&[
                "--kubeconfig=/k",
                "--repository=acme/shop",
                "--role-name=ci",
                "--change-authentication-mode",
            ]),
        ];
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
