//! What a job needs in the agent's namespace: two Roles, of which it has one.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// To build on agents that are there.
pub const USE: [Rule; 3] = [
    ("apps", "deployments", &["get"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/exec", &["create"]),
];

/// All of that, and to deploy agents and bring them up to date. Server-side apply is a patch, and a create as well
/// where there is nothing yet; `get` is for what is there already; claims and events say what a start waits for.
pub const DEPLOY: [Rule; 6] = [
    ("apps", "deployments", &["get", "create", "patch"]),
    ("", "configmaps", &["get", "create", "patch"]),
    ("", "persistentvolumeclaims", &["get", "create", "patch", "watch"]),
    ("", "events", &["watch"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/exec", &["create"]),
];

/// Group, resource, verbs.
pub type Rule = (&'static str, &'static str, &'static [&'static str]);

/// Both Roles, `remote-buildkit-use` and `remote-buildkit-deploy`, as YAML documents.
pub fn yaml(namespace: &str) -> anyhow::Result<String> {
    let roles = [("use", &USE[..]), ("deploy", &DEPLOY[..])];
    let documents: Result<Vec<String>, _> = roles
        .into_iter()
        .map(|(name, rules)| super::document(&role(namespace, name, rules)))
        .collect();
    Ok(documents?.join("---\n"))
}

fn role(namespace: &str, name: &str, rules: &[Rule]) -> Role {
    let rule = |(group, resource, verbs): &Rule| PolicyRule {
        api_groups: Some(vec![(*group).to_owned()]),
        resources: Some(vec![(*resource).to_owned()]),
        verbs: verbs.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    Role {
        metadata: ObjectMeta {
            name: Some(format!("remote-buildkit-{name}")),
            namespace: Some(namespace.to_owned()),
            ..Default::default()
        },
        rules: Some(rules.iter().map(rule).collect()),
    }
}
