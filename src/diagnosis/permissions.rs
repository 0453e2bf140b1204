//! Evaluates the RBAC permissions that a job needs, verb by verb.

use super::Finding;
use crate::agent::manifests::rbac::{DEPLOY, RoleRule, USE};

/// A rule of the Role *deploy*, which includes the Role *use*, with the purpose of each verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredRule {
    pub group: &'static str,
    /// With its subresource: `pods/exec`.
    pub resource: &'static str,
    pub verbs: Vec<(&'static str, Purpose)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To build on an existing agent.
    Use,
    /// To deploy an agent.
    Deploy,
}

/// Returns all rules that a job may need, in the order of the Roles.
pub fn required() -> Vec<RequiredRule> {
    let used = |(group, resource, verb): (&str, &str, &str)| {
        let mut rules = USE.iter();
        rules.any(|(g, r, verbs)| (*g, *r) == (group, resource) && verbs.contains(&verb))
    };
    let one = |(group, resource, verbs): &RoleRule| RequiredRule {
        group,
        resource,
        verbs: verbs
            .iter()
            .map(|verb| {
                (
                    *verb,
                    if used((group, resource, verb)) {
                        Purpose::Use
                    } else {
                        Purpose::Deploy
                    },
                )
            })
            .collect(),
    };
    DEPLOY.iter().map(one).collect()
}

/// Returns the row of one rule. `allowed` is the cluster's answer for each verb; `deploys` says whether connect would
/// deploy an agent.
pub fn evaluate(rule: &RequiredRule, allowed: &[bool], namespace: &str, deploys: bool) -> Finding {
    let verbs = rule.verbs.iter().zip(allowed);
    let (yes, no): (Vec<_>, Vec<_>) = verbs.partition(|(_, allowed)| **allowed);
    let list = |verbs: &[(&(&'static str, Purpose), &bool)]| {
        let names: Vec<&str> = verbs.iter().map(|((verb, _), _)| *verb).collect();
        names.join(", ")
    };
    if no.is_empty() {
        return Finding::ok(format!("allowed: {}", list(&yes)));
    }
    let may = if yes.is_empty() {
        String::new()
    } else {
        format!("allowed: {}; ", list(&yes))
    };
    let to_use = no.iter().any(|((_, purpose), _)| *purpose == Purpose::Use);
    let purpose = if to_use { "build" } else { "deploy an agent" };
    let finding = Finding::failed(
        format!("{may}denied: {} (needed to {purpose})", list(&no)),
        format!(
            "Bind a Role to this identity in the namespace {namespace} with the rule {{apiGroups: [\"{}\"], resources: \
             [{}], verbs: [{}]}}; `remote-buildkit manifests --rbac --namespace {namespace}` prints the complete Roles.",
            rule.group,
            rule.resource,
            list(&no)
        ),
    );
    if to_use || deploys {
        finding
    } else {
        finding.downgrade_failure()
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckStatus;
    use super::*;

    #[test]
    fn verbs_are_those_of_the_two_roles() {
        let lines: Vec<String> = required()
            .iter()
            .map(|w| format!("{:?} {:?} {:?}", w.group, w.resource, w.verbs))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        "apps" "deployments" [("get", Use), ("create", Deploy), ("patch", Deploy)]
        "" "configmaps" [("get", Deploy), ("create", Deploy), ("patch", Deploy)]
        "" "persistentvolumeclaims" [("get", Deploy), ("create", Deploy), ("patch", Deploy), ("watch", Deploy)]
        "" "events" [("watch", Deploy)]
        "" "pods" [("list", Use), ("watch", Use)]
        "" "pods/exec" [("create", Use)]
        "#);
    }

    #[test]
    fn a_missing_permission_fails_only_if_it_is_needed() {
        let rules = required();
        let deployments = |allowed: [bool; 3], deploys| evaluate(&rules[0], &allowed, "buildkit", deploys);
        assert_eq!(
            deployments([true; 3], true),
            Finding::ok("allowed: get, create, patch")
        );
        let only_use = deployments([true, false, false], false);
        assert_eq!(only_use.status, CheckStatus::Warning);
        assert_eq!(
            only_use.found,
            "allowed: get; denied: create, patch (needed to deploy an agent)"
        );
        assert_eq!(
            deployments([true, false, false], true).status,
            CheckStatus::Failed
        );
        let nothing = deployments([false; 3], false);
        assert_eq!(nothing.status, CheckStatus::Failed);
        assert!(
            nothing
                .remedy
                .contains("{apiGroups: [\"apps\"], resources: [deployments], verbs: [get, create, patch]}"),
            "{nothing:?}"
        );
    }
}
