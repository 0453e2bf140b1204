//! The checks, by their names in the table and in the JSON.

use crate::agent::group::Group;
use crate::agent::{Spec, routing};
use crate::commands::agent_checks::cache_key;
use crate::diagnosis::{Finding, permissions};
use crate::inputs::{ClusterAccess, Deploy, Plan};

pub(super) const INPUTS: &str = "inputs";
pub(super) const RUNNER: &str = "runner";
pub(super) const BUILDX: &str = "buildx";
pub(super) const IDENTITY: &str = "identity";
pub(super) const CLUSTER: &str = "cluster";
pub(super) const REGISTRIES: &str = "registries";
pub(super) const TOKEN: &str = "token";
pub(super) const STORAGE_CLASS: &str = "storage-class";
pub(super) const CSI_DRIVER: &str = "csi-driver";
pub(super) const AGENT: &str = "agent";
pub(super) const VOLUME: &str = "volume";
pub(super) const BUILDKIT: &str = "buildkit";
pub(super) const DISK: &str = "disk";
pub(super) const EXEC: &str = "exec";
pub(super) const BUILD: &str = "build";
pub(super) const CACHE: &str = "cache";

/// A group of related checks. When connect fails, the group that explains it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckGroup {
    Runner,
    Aws,
    Access,
    Storage,
    Agent,
}

#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) group: CheckGroup,
}

/// Returns the name of the check for a resource of the Roles.
pub(super) fn rbac(resource: &str) -> String {
    format!("rbac {resource}")
}

/// Returns the name of a check of an agent; with the architecture if there are several agents.
pub(super) fn of_agent(check: &str, label: &str) -> String {
    if label.is_empty() {
        check.to_owned()
    } else {
        format!("{check} {label}")
    }
}

/// Returns the architecture of an agent if there are several, otherwise an empty text.
pub(super) fn label(group: &Group, groups: usize) -> String {
    match group.platforms.first() {
        Some(platform) if groups > 1 => platform.arch.clone(),
        _ => String::new(),
    }
}

/// Returns all checks for these inputs, in their order. With `builds`, the checks of this machine and the test builds are
/// included.
pub(super) fn of(plan: &Plan, builds: bool) -> Vec<Planned> {
    let groups = plan.agents.groups();
    let labels = groups.iter().map(|group| label(group, groups.len()));
    checks(
        matches!(plan.cluster_access, ClusterAccess::Eks { .. }),
        plan.registries.is_some(),
        labels,
        builds,
    )
}

/// Returns the checks when the inputs are not valid.
pub(super) fn without_inputs() -> Vec<Planned> {
    checks(true, false, [String::new()], true)
}

fn checks(
    eks: bool,
    registries: bool,
    agents: impl IntoIterator<Item = String>,
    builds: bool,
) -> Vec<Planned> {
    let mut planned = Vec::new();
    let mut add = |group, names: &[&str]| {
        planned.extend(names.iter().map(|name| Planned {
            name: (*name).to_owned(),
            group,
        }));
    };
    if builds {
        add(CheckGroup::Runner, &[INPUTS, RUNNER, BUILDX]);
    }
    if eks {
        add(CheckGroup::Aws, &[IDENTITY]);
    }
    add(CheckGroup::Aws, &[CLUSTER]);
    if registries {
        add(CheckGroup::Aws, &[REGISTRIES]);
    }
    add(CheckGroup::Access, &[TOKEN]);
    for rule in permissions::required() {
        add(CheckGroup::Access, &[&rbac(rule.resource)]);
    }
    add(CheckGroup::Storage, &[STORAGE_CLASS, CSI_DRIVER]);
    for label in agents {
        let mut of = |group, check| add(group, &[&of_agent(check, &label)]);
        of(CheckGroup::Agent, AGENT);
        of(CheckGroup::Storage, VOLUME);
        for check in [BUILDKIT, DISK] {
            of(CheckGroup::Agent, check);
        }
        if builds {
            for check in [EXEC, BUILD, CACHE] {
                of(CheckGroup::Agent, check);
            }
        }
    }
    planned
}

/// Returns the row of valid inputs: which agents are checked.
pub(super) fn inputs(plan: &Plan) -> Finding {
    let spec = &plan.agents.spec;
    let deploy = match plan.deploy {
        Deploy::IfAbsent => "if-absent",
        Deploy::Always => "always",
        Deploy::Never => "never",
    };
    let chosen = chosen(plan);
    let names: Vec<&str> = chosen.iter().map(|(_, spec)| spec.name.as_str()).collect();
    let agents = format!("in the namespace {}: {}", spec.namespace, names.join(", "));
    let number = plan.agents.all().len();
    let others = if number > names.len() {
        format!(
            ", selected from {number} agents by the cache key {:?}",
            cache_key(plan)
        )
    } else {
        String::new()
    };
    Finding::ok(format!("{agents}{others}; deploy: {deploy}"))
}

/// Returns the agents that are checked: for each architecture the preferred one of the cache key. The others have the
/// same inputs and are preferred by other keys.
pub(super) fn chosen(plan: &Plan) -> Vec<(Group, Spec)> {
    let key = cache_key(plan);
    let first = |group: Group| {
        let order = routing::order(&key, group.agents.clone(), |spec: &Spec| &spec.name);
        Some((group, order.into_iter().next()?))
    };
    plan.agents.groups().into_iter().filter_map(first).collect()
}
