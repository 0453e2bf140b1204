//! Validates the inputs of the action and the flags, and turns them into typed values. Contacts neither AWS nor the
//! cluster, and reports all invalid values at once.

mod agent;
mod cluster_access;
mod lists;
mod matrix;
mod names;
mod registration;
mod registries;
mod runner;

use std::borrow::Cow;
use std::time::Duration;

use crate::agent::group::Agents;
use crate::cli::{ConnectArgs, DestroyArgs, ManifestsArgs};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

pub use cluster_access::{AwsIdentity, ClusterAccess};
pub use matrix::{MatrixInputs, matrix};
pub use registration::{Registration, RegistrationCredential, SecretSource};
pub use registries::Registries;
pub use runner::{MachineSetup, Programs, RunnerOperation, runner};

/// The validated inputs of `connect`.
#[derive(Debug)]
pub struct Plan {
    pub cluster_access: ClusterAccess,
    pub agents: Agents,
    pub deploy: Deploy,
    /// Selects one of several agents. Without it, the command uses the repository.
    pub cache_key: Option<String>,
    pub registries: Option<Registries>,
    pub timeout: Duration,
}

/// The input `deploy`: when `connect` deploys agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    /// If they do not exist.
    IfAbsent,
    /// Also to update existing agents.
    Always,
    Never,
}

/// The validated flags of `destroy`.
#[derive(Debug)]
pub struct Removal {
    pub cluster_access: ClusterAccess,
    pub name: String,
    pub namespace: String,
    /// Whether to delete the volumes too.
    pub volumes: bool,
    /// Whether to ask for confirmation.
    pub ask: bool,
    /// How long to wait for the cluster.
    pub timeout: Duration,
}

/// Collects all invalid values, so that one run reports them together.
#[derive(Debug, Default)]
struct ValidationErrors(Vec<String>);

impl ValidationErrors {
    /// Adds an error: the input, its value and what is allowed.
    fn add(&mut self, input: &str, value: &str, allowed: &str) {
        let shown = without_credentials(value);
        self.0.push(format!("`{input}: {shown}`: {allowed}"));
    }

    /// Adds the errors of a value that may have several lines and contain secrets. Only the lines that an error
    /// names, as in `line 1, column 2: …`, are shown.
    fn add_text(&mut self, input: &str, text: &str, errors: &str) {
        if text.trim().lines().count() <= 1 {
            return self.add(input, text.trim(), errors);
        }
        for error in errors.lines() {
            let number = error.strip_prefix("line ").and_then(|rest| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse::<usize>().ok()?.checked_sub(1)
            });
            match number.and_then(|number| text.lines().nth(number)) {
                Some(line) => self.add(input, line.trim(), error),
                None => self.0.push(format!("`{input}`: {error}")),
            }
        }
    }

    /// Adds an error unless the value is valid.
    fn check(&mut self, ok: bool, input: &str, value: &str, allowed: &str) {
        if !ok {
            self.add(input, value, allowed);
        }
    }

    /// Returns the value if there are no errors, or else all of them.
    fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.problem()),
        }
    }

    fn problem(&self) -> Problem {
        Problem::new(
            ErrorCode::InvalidInput,
            format!("These values are not valid:\n- {}", self.0.join("\n- ")),
            "Correct them and run again. Nothing was contacted or changed. For valid values, see docs/inputs.md, or --help on a \
             command line.",
        )
    }
}

/// Validates the inputs of `connect`.
pub fn connect(args: &ConnectArgs) -> Result<Plan, Problem> {
    let mut errors = ValidationErrors::default();
    let plan = check(args, &mut errors);
    errors.finish(plan)
}

/// Returns a value without the user and password of a URL in it, which an error must not show.
fn without_credentials(value: &str) -> Cow<'_, str> {
    match value.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => {
            let host = rest.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://***@{host}").into()
        }
        _ => value.into(),
    }
}

/// Validates the inputs of `connect`, which `runner` has as well.
fn check(args: &ConnectArgs, errors: &mut ValidationErrors) -> Option<Plan> {
    let ConnectArgs {
        cluster_access,
        agent,
        deploy,
        cache_key,
        ecr,
        timeout,
    } = args;
    let registries = registries::check(ecr.as_deref(), cluster_access, errors);
    let cluster_access = cluster_access::check(cluster_access, ecr.is_some(), errors);
    let agents = agent::check(agent, errors);
    let deploy = match deploy.as_str() {
        "if-absent" => Some(Deploy::IfAbsent),
        "always" => Some(Deploy::Always),
        "never" => Some(Deploy::Never),
        other => {
            errors.add("deploy", other, "must be if-absent, always or never");
            None
        }
    };
    let timeout = duration("timeout", timeout, errors);
    let plan = cluster_access.zip(agents).zip(deploy.zip(timeout));
    plan.map(|((cluster_access, agents), (deploy, timeout))| Plan {
        cluster_access,
        agents,
        deploy,
        cache_key: cache_key.clone(),
        registries,
        timeout,
    })
}

/// Validates the inputs of `manifests`.
pub fn manifests(args: &ManifestsArgs) -> Result<Agents, Problem> {
    let ManifestsArgs {
        connect,
        rbac: _,
        output: _,
    } = args;
    let mut errors = ValidationErrors::default();
    let agents = agent::check(&connect.agent, &mut errors);
    errors.finish(agents)
}

/// Validates the flags of `destroy`.
pub fn destroy(args: &DestroyArgs) -> Result<Removal, Problem> {
    let DestroyArgs {
        cluster_access,
        which,
        volumes,
        yes,
        timeout,
    } = args;
    let mut errors = ValidationErrors::default();
    let cluster_access = cluster_access::check(cluster_access, false, &mut errors);
    agent::check_which(which, &mut errors);
    let timeout = duration("timeout", timeout, &mut errors);
    errors.finish(
        cluster_access
            .zip(timeout)
            .map(|(cluster_access, timeout)| Removal {
                cluster_access,
                name: which.name.clone(),
                namespace: which.namespace.clone(),
                volumes: *volumes,
                ask: !yes,
                timeout,
            }),
    )
}

/// Returns the error for inputs that are not valid UTF-8.
pub fn invalid_utf8(names: &[String]) -> Problem {
    let errors = names.iter().map(|name| format!("`{name}` is not valid UTF-8"));
    ValidationErrors(errors.collect()).problem()
}

/// Parses a duration above zero, in the notation of Go, Kubernetes and buildx.
fn duration(input: &str, text: &str, errors: &mut ValidationErrors) -> Option<Duration> {
    match text.parse::<jiff::SignedDuration>() {
        Ok(d) if d.as_secs() > 0 => Some(d.unsigned_abs()),
        _ => {
            errors.add(
                input,
                text,
                "must be a duration above zero such as 90s, 5m or 1h30m",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;
