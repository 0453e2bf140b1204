//! Validates the inputs of `connect`, and those of `manifests` and `destroy`, which are a part of them.

use std::time::Duration;

use super::buildx::BuildxInputs;
use super::cluster_access::ClusterAccess;
use super::registries::Registries;
use super::validation::{ValidationErrors, duration};
use super::{agent, buildx, cluster_access, registries};
use crate::agent::group::Agents;
use crate::cli::{ConnectArgs, DestroyArgs, ManifestsArgs};
use crate::problem::Problem;

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
    pub buildx: BuildxInputs,
    pub unavailable: Unavailable,
}

/// The input `unavailable`: what a job does that can have no OIDC token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    Fail,
    /// Build with buildx's own local builder.
    Local,
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

/// Validates the inputs of `connect`.
pub fn connect(args: &ConnectArgs) -> Result<Plan, Problem> {
    let mut errors = ValidationErrors::default();
    let plan = check(args, &mut errors);
    errors.finish(plan)
}

/// Validates the inputs of `connect`, which `runner` has as well.
pub(super) fn check(args: &ConnectArgs, errors: &mut ValidationErrors) -> Option<Plan> {
    let ConnectArgs {
        cluster_access,
        agent,
        deploy,
        cache_key,
        ecr,
        timeout,
        unavailable,
        // Read by `buildx::check`.
        buildx_version: _,
        buildx_url: _,
        buildx_sha256: _,
    } = args;
    let buildx = buildx::check(args, errors);
    let registries = registries::check(ecr.as_deref(), cluster_access, errors);
    let cluster_access = cluster_access::check(cluster_access, ecr.is_some(), errors);
    let agents = agent::check(agent, errors).map(agent::on_this_machine);
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
    let unavailable = match unavailable.as_str() {
        "local" => Unavailable::Local,
        other => {
            errors.check(other == "fail", "unavailable", other, "must be fail or local");
            Unavailable::Fail
        }
    };
    let plan = cluster_access.zip(agents).zip(deploy.zip(timeout)).zip(buildx);
    plan.map(|(((cluster_access, agents), (deploy, timeout)), buildx)| Plan {
        cluster_access,
        agents,
        deploy,
        cache_key: cache_key.clone(),
        registries,
        timeout,
        buildx,
        unavailable,
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
