//! Validates the inputs of `runner`.

use std::time::Duration;

use super::buildx;
use super::cluster_access::{AwsIdentity, ClusterAccess};
use super::connect::{Plan, check};
use super::registration::{self, Registration};
use super::validation::{ValidationErrors, duration};
use crate::buildx::release::Mirror;
use crate::cli::{DEFAULT_AUDIENCE, RunnerArgs};
use crate::problem::Problem;

/// The operations of `runner`.
#[derive(Debug)]
pub enum RunnerOperation {
    /// Sets up the machine.
    Prepare(Box<MachineSetup>),
    /// Installs the programs only.
    Install(Programs),
    /// Undoes the setup for a user.
    Remove { user: Option<String> },
}

/// The validated inputs to set up a machine.
#[derive(Debug)]
pub struct MachineSetup {
    pub plan: Plan,
    pub programs: Programs,
    /// The GitHub runner to register and start, if any.
    pub registration: Option<Registration>,
}

/// The programs to install.
#[derive(Debug)]
pub struct Programs {
    /// The user whose jobs use them.
    pub user: Option<String>,
    pub mirror: Option<Mirror>,
    pub timeout: Duration,
}

/// Validates the inputs of `runner`.
pub fn runner(args: &RunnerArgs) -> Result<RunnerOperation, Problem> {
    let RunnerArgs {
        connect,
        user,
        registration,
        install_only,
        remove,
        as_user: _,
    } = args;
    let mut errors = ValidationErrors::default();
    if let Some(user) = user {
        let allowed = "must be the name of a user of this machine";
        errors.check(is_user_name(user), "user", user, allowed);
    }
    if *remove {
        let user = user.clone();
        return errors.finish(Some(RunnerOperation::Remove { user }));
    }
    let programs = |mirror, timeout| Programs {
        user: user.clone(),
        mirror,
        timeout,
    };
    let is_default = connect.unavailable == "fail";
    errors.check(
        is_default,
        "unavailable",
        &connect.unavailable,
        "not supported by `runner`, which has no OIDC token",
    );
    let is_default = connect.buildx_version == buildx::DEFAULT_VERSION;
    let allowed = "not supported by `runner`, which installs buildx unless a recent enough one is installed";
    errors.check(is_default, "buildx-version", &connect.buildx_version, allowed);
    if *install_only {
        let timeout = duration("timeout", &connect.timeout, &mut errors);
        let buildx = buildx::check(connect, &mut errors);
        let programs = buildx
            .zip(timeout)
            .map(|(buildx, timeout)| programs(buildx.mirror, timeout));
        return errors.finish(programs.map(RunnerOperation::Install));
    }
    // A machine has no OIDC token of a job.
    let not_supported =
        "not supported by `runner`, which signs in as the machine (instance profile or pod role)";
    let access = &connect.cluster_access;
    if let Some(role) = &access.role_to_assume {
        errors.add("role-to-assume", role, not_supported);
    }
    let is_default = access.audience == DEFAULT_AUDIENCE;
    errors.check(is_default, "audience", &access.audience, not_supported);
    let registration = registration::check(registration, &mut errors);
    let plan = check(connect, &mut errors).map(with_machine_identity);
    errors.finish(plan.map(|plan| {
        RunnerOperation::Prepare(Box::new(MachineSetup {
            programs: programs(plan.buildx.mirror.clone(), plan.timeout),
            plan,
            registration,
        }))
    }))
}

/// Makes the plan sign in as the machine, never as a job.
fn with_machine_identity(mut plan: Plan) -> Plan {
    if let ClusterAccess::Eks { identity, .. } = &mut plan.cluster_access {
        *identity = AwsIdentity::Machine;
    }
    if let Some(registries) = &mut plan.registries {
        registries.identity = AwsIdentity::Machine;
    }
    plan
}

/// Returns whether `useradd` accepts the name.
fn is_user_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || ['_', '-', '.', '$'].contains(&c))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn read(flags: &[&str]) -> Result<RunnerOperation, Problem> {
        let line = ["remote-buildkit", "runner"].iter().chain(flags);
        match Cli::parse_from(line).command {
            Command::Runner(args) => runner(&args),
            other => panic!("not runner: {other:?}"),
        }
    }

    #[test]
    fn all_invalid_inputs_are_reported_at_once() {
        let invalid = [
            ("user", "a:b", "must be the name of a user of this machine"),
            ("buildx-url", "mirror", "must be a URL such as"),
            (
                "buildx-sha256",
                "abc",
                "must be a SHA-256 checksum of 64 hexadecimal digits",
            ),
            (
                "role-to-assume",
                "arn:aws:iam::123456789012:role/ci",
                "not supported by `runner`",
            ),
            ("audience", "vault", "not supported by `runner`"),
            ("unavailable", "local", "not supported by `runner`"),
            ("buildx-version", "system", "not supported by `runner`"),
            ("cluster", "a/b", "the name of an EKS cluster"),
        ];
        let flags: Vec<String> = invalid
            .iter()
            .map(|(name, value, _)| format!("--{name}={value}"))
            .collect();
        let problem = read(&flags.iter().map(String::as_str).collect::<Vec<_>>()).expect_err("bad");
        for (name, value, expected) in invalid {
            let error = problem
                .what
                .lines()
                .find(|line| line.starts_with(&format!("- `{name}: {value}`")));
            assert!(
                error.is_some_and(|error| error.contains(expected)),
                "{name}: {}",
                problem.what
            );
        }
        let secret =
            read(&["--kubeconfig=in-cluster", "--buildx-url=https://me:pw@m/b"]).expect_err("secret");
        assert!(
            secret.what.contains("must not contain credentials") && !secret.what.contains("pw"),
            "{secret:?}"
        );
        let alone = read(&[
            "--kubeconfig=in-cluster",
            &format!("--buildx-sha256={}", "a".repeat(64)),
        ]);
        assert!(alone.expect_err("no url").what.contains("requires `buildx-url`"));
    }

    #[test]
    fn the_plan_signs_in_as_the_machine() {
        let operation = read(&[
            "--cluster=demo",
            "--ecr=auto",
            "--user=runner",
            "--buildx-url=http://m/b",
        ]);
        let RunnerOperation::Prepare(machine) = operation.expect("good") else {
            panic!("not to remove");
        };
        assert!(matches!(
            machine.plan.cluster_access,
            ClusterAccess::Eks {
                identity: AwsIdentity::Machine,
                ..
            }
        ));
        assert_eq!(
            machine.plan.registries.expect("some").identity,
            AwsIdentity::Machine
        );
        let programs = machine.programs;
        assert_eq!(programs.user.as_deref(), Some("runner"));
        assert_eq!(programs.mirror, Some(Mirror::Releases("http://m/b".into())));
    }

    #[test]
    fn install_only_needs_no_cluster() {
        let operation = read(&["--install-only", "--user=runner", "--timeout=90s"]);
        assert!(matches!(
            operation.expect("good"),
            RunnerOperation::Install(Programs { user: Some(user), mirror: None, timeout })
                if user == "runner" && timeout == Duration::from_secs(90)
        ));
        let bad = read(&["--install-only", "--buildx-url=mirror", "--timeout=soon"]).expect_err("bad");
        assert!(
            bad.what.contains("`buildx-url: mirror`") && bad.what.contains("`timeout: soon`"),
            "{bad:?}"
        );
    }

    #[test]
    fn remove_needs_no_cluster() {
        assert!(matches!(
            read(&["--remove", "--user=runner"]).expect("good"),
            RunnerOperation::Remove { user: Some(user) } if user == "runner"
        ));
    }
}
