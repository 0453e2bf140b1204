//! The two Roles in the namespace of the agents. A job is bound to one of them.

use k8s_openapi::api::rbac::v1::{PolicyRule, Role};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// The rules of the Role `use`: build on existing agents.
pub const USE: [RoleRule; 3] = [
    ("apps", "deployments", &["get"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/exec", &["create"]),
];

/// The rules of the Role `deploy`: also create and update agents. Server-side apply needs `patch`, and `create` for objects
/// that do not exist; `get` is for existing objects; the watches on claims and events explain a slow startup.
pub const DEPLOY: [RoleRule; 6] = [
    ("apps", "deployments", &["get", "create", "patch"]),
    ("", "configmaps", &["get", "create", "patch"]),
    ("", "persistentvolumeclaims", &["get", "create", "patch", "watch"]),
    ("", "events", &["watch"]),
    ("", "pods", &["list", "watch"]),
    ("", "pods/exec", &["create"]),
];

/// API group, resource, verbs.
pub type RoleRule = (&'static str, &'static str, &'static [&'static str]);

/// Returns both Roles, `remote-buildkit-use` and `remote-buildkit-deploy`. Their RoleBindings are not included, because
/// they name the user's identities.
pub fn roles(namespace: &str) -> anyhow::Result<Vec<Value>> {
    let roles = [("use", &USE[..]), ("deploy", &DEPLOY[..])];
    roles
        .into_iter()
        .map(|(name, rules)| Ok(serde_json::to_value(role(namespace, name, rules))?))
        .collect()
}

fn role(namespace: &str, name: &str, rules: &[RoleRule]) -> Role {
    let rule = |(group, resource, verbs): &RoleRule| PolicyRule {
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
