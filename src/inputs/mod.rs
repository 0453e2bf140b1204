//! From what a user typed to what it means. Nothing is asked of AWS or the cluster here, and every bad value is
//! reported at once.

mod agent;
mod lists;
mod names;
mod road;

use std::time::Duration;

use crate::agent::group::Agents;
use crate::cli::{ConnectArgs, DestroyArgs, ManifestsArgs};
use crate::problem::Problem;

pub use road::{Road, Role};

/// Everything `connect` is asked to do.
#[derive(Debug)]
pub struct Plan {
    pub road: Road,
    pub agents: Agents,
    pub deploy: Deploy,
    /// Of several agents, which one; by default what the command takes for it.
    pub cache_key: Option<String>,
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
    pub road: Road,
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

    fn check(&mut self, ok: bool, input: &str, value: &str, allowed: &str) {
        if !ok {
            self.add(input, value, allowed);
        }
    }

    fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Problem::new(
                "Bad input",
                format!(
                    "The inputs were read and these cannot be used:\n- {}",
                    self.0.join("\n- ")
                ),
                "Nothing was contacted or changed. Correct them and run again; the README lists every input.",
            )),
        }
    }
}

pub fn connect(args: &ConnectArgs) -> Result<Plan, Problem> {
    let ConnectArgs {
        road,
        agent,
        deploy,
        cache_key,
        timeout,
    } = args;
    let mut faults = Faults::default();
    let road = road::check(road, &mut faults);
    let agents = agent::check(agent, &mut faults);
    let deploy = match deploy.as_str() {
        "if-absent" => Some(Deploy::IfAbsent),
        "always" => Some(Deploy::Always),
        "never" => Some(Deploy::Never),
        other => {
            faults.add("deploy", other, "allowed are if-absent, always and never");
            None
        }
    };
    let timeout = duration("timeout", timeout, &mut faults);
    let plan = road.zip(agents).zip(deploy.zip(timeout));
    faults.finish(plan.map(|((road, agents), (deploy, timeout))| Plan {
        road,
        agents,
        deploy,
        cache_key: cache_key.clone(),
        timeout,
    }))
}

pub fn manifests(args: &ManifestsArgs) -> Result<Agents, Problem> {
    let mut faults = Faults::default();
    let agents = agent::check(&args.agent, &mut faults);
    faults.finish(agents)
}

pub fn destroy(args: &DestroyArgs) -> Result<Removal, Problem> {
    let DestroyArgs {
        road,
        which,
        volumes,
        yes,
    } = args;
    let mut faults = Faults::default();
    let road = road::check(road, &mut faults);
    agent::check_which(which, &mut faults);
    faults.finish(road.map(|road| Removal {
        road,
        name: which.name.clone(),
        namespace: which.namespace.clone(),
        volumes: *volumes,
        ask: !yes,
    }))
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
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn plan(flags: &[&str]) -> Result<Plan, Problem> {
        let line = ["remote-buildkit", "connect"].iter().chain(flags);
        match Cli::parse_from(line).command {
            Command::Connect(args) => connect(&args),
            other => panic!("not connect: {other:?}"),
        }
    }

    #[test]
    fn every_bad_input_is_named_at_once() {
        let error = plan(&[
            "--cluster=sh op",
            "--region=Frankfurt",
            "--role-to-assume=ci",
            "--name=Agent",
            "--namespace=-x",
            "--image=",
            "--storage=50 Gi",
            "--storage-class=GP3",
            "--cpu=fast",
            "--memory=0",
            "--deploy=maybe",
            "--timeout=soon",
            "--context=x",
        ])
        .expect_err("all of it is bad");
        for input in [
            "cluster: sh op",
            "region: Frankfurt",
            "role-to-assume: ci",
            "name: Agent",
            "namespace: -x",
            "image: ",
            "storage: 50 Gi",
            "storage-class: GP3",
            "cpu: fast",
            "memory: 0",
            "deploy: maybe",
            "timeout: soon",
            "context: x",
        ] {
            assert!(
                error.what.contains(&format!("`{input}`")),
                "{input} not in {}",
                error.what
            );
        }
        assert_eq!(error.what.lines().count(), 14);
    }

    #[test]
    fn one_road_and_only_one() {
        assert!(plan(&[]).expect_err("none").what.contains("`cluster: `"));
        assert!(
            plan(&["--cluster=a", "--kubeconfig=b"])
                .expect_err("both")
                .what
                .contains("not both")
        );
        assert!(
            plan(&[
                "--kubeconfig=b",
                "--role-to-assume=arn:aws:iam::123456789012:role/ci"
            ])
            .expect_err("a role without AWS")
            .what
            .contains("touches no AWS")
        );
        assert!(matches!(
            plan(&["--kubeconfig=in-cluster"]).expect("good").road,
            Road::InCluster
        ));
    }

    #[test]
    fn good_values_pass() {
        let plan = plan(&[
            "--cluster=shop_1",
            "--region=us-gov-west-1",
            "--role-to-assume=arn:aws-us-gov:iam::123456789012:role/team/ci",
            "--storage=1.5Ti",
            "--cpu=3500m",
            "--memory=8Gi",
            "--timeout=90s",
        ])
        .expect("good");
        assert_eq!(plan.timeout, Duration::from_secs(90));
        assert_eq!(plan.agents.spec.storage_bytes.0, 3 << 39);
        assert_eq!(plan.deploy, Deploy::IfAbsent);
    }
}
