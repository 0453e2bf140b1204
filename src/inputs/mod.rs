//! From what a user typed to what it means. Nothing is asked of AWS or the cluster here, and every bad value is
//! reported at once.

mod names;

use std::path::PathBuf;
use std::time::Duration;

use crate::agent::Spec;
use crate::agent::quantity::{self, Bytes};
use crate::cli::{AgentArgs, ConnectArgs, RoadArgs};
use crate::problem::Problem;
use names::{is_cluster_name, is_dns_label, is_region, is_role_arn};

/// Everything `connect` is asked to do.
#[derive(Debug)]
pub struct Plan {
    pub road: Road,
    pub agent: Spec,
    pub deploy: Deploy,
    pub timeout: Duration,
}

/// How to reach the cluster.
#[derive(Debug)]
pub enum Road {
    Eks {
        cluster: String,
        region: Option<String>,
        role: Option<Role>,
    },
    Kubeconfig {
        path: PathBuf,
        context: Option<String>,
    },
    InCluster,
}

/// A role to assume with the job's OIDC token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub audience: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    IfAbsent,
    Never,
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
        timeout,
    } = args;
    let mut faults = Faults::default();
    let road = check_road(road, &mut faults);
    let agent = check_agent(agent, &mut faults);
    let deploy = match deploy.as_str() {
        "if-absent" => Some(Deploy::IfAbsent),
        "never" => Some(Deploy::Never),
        other => {
            faults.add("deploy", other, "allowed are if-absent and never");
            None
        }
    };
    let timeout = match timeout.parse::<jiff::SignedDuration>() {
        Ok(d) if d.as_secs() > 0 => Some(d.unsigned_abs()),
        _ => {
            faults.add(
                "timeout",
                timeout,
                "a duration above zero such as 90s, 5m or 1h30m",
            );
            None
        }
    };
    let plan = road.zip(agent).zip(deploy.zip(timeout));
    faults.finish(plan.map(|((road, agent), (deploy, timeout))| Plan {
        road,
        agent,
        deploy,
        timeout,
    }))
}

pub fn manifests(args: &AgentArgs) -> Result<Spec, Problem> {
    let mut faults = Faults::default();
    let agent = check_agent(args, &mut faults);
    faults.finish(agent)
}

fn check_road(args: &RoadArgs, faults: &mut Faults) -> Option<Road> {
    let RoadArgs {
        cluster,
        region,
        role_to_assume,
        audience,
        kubeconfig,
        context,
    } = args;
    match (cluster, kubeconfig) {
        (Some(cluster), None) => {
            faults.check(
                is_cluster_name(cluster),
                "cluster",
                cluster,
                "a name of an EKS cluster: up to 100 letters, digits, - and _, a letter or digit first",
            );
            if let Some(region) = region {
                faults.check(
                    is_region(region),
                    "region",
                    region,
                    "an AWS region such as us-west-2",
                );
            }
            if let Some(role) = role_to_assume {
                faults.check(
                    is_role_arn(role),
                    "role-to-assume",
                    role,
                    "the ARN of a role: arn:aws:iam::123456789012:role/name",
                );
            }
            if let Some(context) = context {
                faults.add("context", context, "goes with `kubeconfig`, not with `cluster`");
            }
            Some(Road::Eks {
                cluster: cluster.clone(),
                region: region.clone(),
                role: role_to_assume.as_ref().map(|arn| Role {
                    arn: arn.clone(),
                    audience: audience.clone(),
                }),
            })
        }
        (None, Some(kubeconfig)) => {
            for (name, value) in [("region", region), ("role-to-assume", role_to_assume)] {
                if let Some(value) = value {
                    faults.add(name, value, "goes with `cluster`; `kubeconfig` touches no AWS");
                }
            }
            if kubeconfig != "in-cluster" {
                return Some(Road::Kubeconfig {
                    path: PathBuf::from(kubeconfig),
                    context: context.clone(),
                });
            }
            if let Some(context) = context {
                faults.add("context", context, "has no meaning with `kubeconfig: in-cluster`");
            }
            Some(Road::InCluster)
        }
        (None, None) => {
            faults.add(
                "cluster",
                "",
                "give the name of an EKS cluster, or `kubeconfig` for any other",
            );
            None
        }
        (Some(cluster), Some(_)) => {
            faults.add(
                "cluster",
                cluster,
                "give either `cluster` or `kubeconfig`, not both",
            );
            None
        }
    }
}

fn check_agent(args: &AgentArgs, faults: &mut Faults) -> Option<Spec> {
    let AgentArgs {
        name,
        namespace,
        image,
        storage,
        storage_class,
        cpu,
        memory,
    } = args;
    // buildx wants a letter first in a node's name, Kubernetes at most 63 characters in a label.
    faults.check(
        is_dns_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase()),
        "name",
        name,
        "up to 63 lower-case letters, digits and -, a letter first, no - last",
    );
    faults.check(
        is_dns_label(namespace),
        "namespace",
        namespace,
        "up to 63 lower-case letters, digits and -, no - at either end",
    );
    faults.check(
        !image.is_empty() && !image.contains(char::is_whitespace),
        "image",
        image,
        "an image reference such as moby/buildkit:v0.34.2",
    );
    if let Some(class) = storage_class {
        faults.check(
            class.split('.').all(is_dns_label),
            "storage-class",
            class,
            "the name of a StorageClass: lower-case letters, digits, - and .",
        );
    }
    if let Some(cpu) = cpu {
        faults.check(
            quantity::is_cpu(cpu),
            "cpu",
            cpu,
            "a CPU quantity above zero such as 4, 0.5 or 3500m",
        );
    }
    if let Some(memory) = memory {
        faults.check(
            quantity::bytes(memory).is_some_and(|b| b.0 > 0),
            "memory",
            memory,
            "a quantity of bytes above zero such as 8Gi or 500M",
        );
    }
    let bytes = quantity::bytes(storage).filter(|b| *b >= MIN_STORAGE);
    if bytes.is_none() {
        faults.add(
            "storage",
            storage,
            "a quantity of at least 1Gi, such as 50Gi or 1Ti",
        );
    }
    Some(Spec {
        name: name.clone(),
        namespace: namespace.clone(),
        image: image.clone(),
        storage: storage.clone(),
        storage_bytes: bytes?,
        storage_class: storage_class.clone(),
        cpu: cpu.clone(),
        memory: memory.clone(),
    })
}

/// Below this BuildKit's own metadata and one base image leave no room for a cache.
const MIN_STORAGE: Bytes = Bytes(1 << 30);

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
        assert_eq!(plan.agent.storage_bytes.0, 3 << 39);
        assert_eq!(plan.deploy, Deploy::IfAbsent);
    }
}
