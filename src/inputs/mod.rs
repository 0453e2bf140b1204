//! From what a user typed to what it means. Nothing is asked of AWS or the cluster here, and every bad value is
//! reported at once.

mod agent;
mod cluster_access;
mod lists;
mod matrix;
mod names;
mod registration;
mod registries;
mod runner;

use std::time::Duration;

use crate::agent::group::Agents;
use crate::cli::{ConnectArgs, DestroyArgs, ManifestsArgs};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

pub use cluster_access::{ClusterAccess, Identity, Role};
pub use matrix::{MatrixInputs, matrix};
pub use registration::{Registration, RegistrationCredential, SecretSource};
pub use registries::Registries;
pub use runner::{MachineSetup, Programs, RunnerOperation, runner};

/// Everything `connect` is asked to do.
#[derive(Debug)]
pub struct Plan {
    pub cluster_access: ClusterAccess,
    pub agents: Agents,
    pub deploy: Deploy,
    /// Of several agents, which one; by default what the command takes for it.
    pub cache_key: Option<String>,
    pub registries: Option<Registries>,
    pub timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    IfAbsent,
    Always,
    Never,
}

/// Everything `destroy` is asked to do.
#[derive(Debug)]
pub struct Removal {
    pub cluster_access: ClusterAccess,
    pub name: String,
    pub namespace: String,
    pub volumes: bool,
    pub ask: bool,
}

/// Collects what is wrong, so that one run names it all.
#[derive(Debug, Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, input: &str, value: &str, allowed: &str) {
        self.0.push(format!("`{input}: {value}`: {allowed}"));
    }

    /// For what may have several lines and hold secrets: the line of each fault is shown, if it names one as `line 1`, and
    /// no other.
    fn add_text(&mut self, input: &str, text: &str, faults: &str) {
        if text.trim().lines().count() <= 1 {
            return self.add(input, text.trim(), faults);
        }
        for fault in faults.lines() {
            let number = fault.strip_prefix("line ").and_then(|rest| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse::<usize>().ok()?.checked_sub(1)
            });
            match number.and_then(|number| text.lines().nth(number)) {
                Some(line) => self.add(input, line.trim(), fault),
                None => self.0.push(format!("`{input}`: {fault}")),
            }
        }
    }

    fn check(&mut self, ok: bool, input: &str, value: &str, allowed: &str) {
        if !ok {
            self.add(input, value, allowed);
        }
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.problem()),
        }
    }

    fn problem(&self) -> Problem {
        Problem::new(
            ErrorCode::InvalidInput,
            format!(
                "The inputs were read and these cannot be used:\n- {}",
                self.0.join("\n- ")
            ),
            "Nothing was contacted or changed. Correct them and run again; the README lists every input.",
        )
    }
}

pub fn connect(args: &ConnectArgs) -> Result<Plan, Problem> {
    let mut faults = Faults::default();
    let plan = check(args, &mut faults);
    faults.finish(plan)
}

fn check(args: &ConnectArgs, faults: &mut Faults) -> Option<Plan> {
    let ConnectArgs {
        cluster_access,
        agent,
        deploy,
        cache_key,
        ecr,
        timeout,
    } = args;
    let registries = registries::check(ecr.as_deref(), cluster_access, faults);
    let cluster_access = cluster_access::check(cluster_access, ecr.is_some(), faults);
    let agents = agent::check(agent, faults);
    let deploy = match deploy.as_str() {
        "if-absent" => Some(Deploy::IfAbsent),
        "always" => Some(Deploy::Always),
        "never" => Some(Deploy::Never),
        other => {
            faults.add("deploy", other, "allowed are if-absent, always and never");
            None
        }
    };
    let timeout = duration("timeout", timeout, faults);
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

pub fn manifests(args: &ManifestsArgs) -> Result<Agents, Problem> {
    let mut faults = Faults::default();
    let agents = agent::check(&args.agent, &mut faults);
    faults.finish(agents)
}

pub fn destroy(args: &DestroyArgs) -> Result<Removal, Problem> {
    let DestroyArgs {
        cluster_access,
        which,
        volumes,
        yes,
    } = args;
    let mut faults = Faults::default();
    let cluster_access = cluster_access::check(cluster_access, false, &mut faults);
    agent::check_which(which, &mut faults);
    faults.finish(cluster_access.map(|cluster_access| Removal {
        cluster_access,
        name: which.name.clone(),
        namespace: which.namespace.clone(),
        volumes: *volumes,
        ask: !yes,
    }))
}

/// Inputs that cannot even be read.
pub fn no_text(names: &[String]) -> Problem {
    let faults = names
        .iter()
        .map(|name| format!("`{name}`: it is no text in UTF-8"));
    Faults(faults.collect()).problem()
}

/// A time above zero, in the notation of Go, Kubernetes and buildx.
fn duration(input: &str, text: &str, faults: &mut Faults) -> Option<Duration> {
    match text.parse::<jiff::SignedDuration>() {
        Ok(d) if d.as_secs() > 0 => Some(d.unsigned_abs()),
        _ => {
            faults.add(input, text, "a duration above zero such as 90s, 5m or 1h30m");
            None
        }
    }
}

#[cfg(test)]
mod tests;
