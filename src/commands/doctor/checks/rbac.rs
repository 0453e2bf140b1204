//! Checks which permissions the cluster's RBAC gives to the identity, verb by verb, with a row for each resource.

use futures::future::try_join_all;

use super::super::Doctor;
use super::super::agents::NewVolume;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::agent::manifests::rbac::{DEPLOY, RoleRule, USE};
use crate::cluster::Cluster;

pub const CHECK: Check = Check {
    subjects: || DEPLOY.iter().map(|(_, resource, _)| *resource).collect(),
    ..Check::new("rbac", CheckGroup::Access)
};

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
    let purpose = |group: &str, resource: &str, verb: &str| {
        let mut rules = USE.iter();
        if rules.any(|(g, r, verbs)| (*g, *r) == (group, resource) && verbs.contains(&verb)) {
            Purpose::Use
        } else {
            Purpose::Deploy
        }
    };
    let required = |(group, resource, verbs): &RoleRule| RequiredRule {
        group,
        resource,
        verbs: verbs
            .iter()
            .map(|verb| (*verb, purpose(group, resource, verb)))
            .collect(),
    };
    DEPLOY.iter().map(required).collect()
}

/// Asks the API server about each verb of a rule.
pub async fn run(
    doctor: &Doctor,
    cluster: &Cluster,
    rule: &RequiredRule,
    new_volume: NewVolume,
) -> anyhow::Result<(Finding, ())> {
    let ask = |(verb, _): &(&'static str, _)| cluster.is_allowed(verb, rule.group, rule.resource);
    let answers = try_join_all(rule.verbs.iter().map(ask)).await?;
    let answers: Option<Vec<bool>> = answers.into_iter().collect();
    let namespace = &doctor.plan.agents.spec.namespace;
    let finding = evaluate(
        rule,
        answers.as_deref(),
        namespace,
        new_volume == NewVolume::Needed,
    );
    Ok((finding, ()))
}

/// Returns the finding for one rule. `allowed` is the answer for each verb, or `None` if the cluster does not answer;
/// `deploys` says whether connect would deploy an agent.
pub fn evaluate(rule: &RequiredRule, allowed: Option<&[bool]>, namespace: &str, deploys: bool) -> Finding {
    let Some(allowed) = allowed else {
        return Finding::warning(
            "no permission to query permissions (SelfSubjectAccessReview)",
            "Restore the ClusterRoleBinding system:basic-user, which by default allows it to every authenticated user.",
        );
    };
    let verbs = rule.verbs.iter().zip(allowed);
    let (yes, no): (Vec<_>, Vec<_>) = verbs.partition(|(_, allowed)| **allowed);
    let list = |verbs: &[(&(&'static str, Purpose), &bool)]| {
        let names: Vec<&str> = verbs.iter().map(|((verb, _), _)| *verb).collect();
        names.join(", ")
    };
    if no.is_empty() {
        return Finding::ok(format!("allowed: {}", list(&yes)));
    }
    let allowed = if yes.is_empty() {
        String::new()
    } else {
        format!("allowed: {}; ", list(&yes))
    };
    let to_use = no.iter().any(|((_, purpose), _)| *purpose == Purpose::Use);
    let purpose = if to_use { "build" } else { "deploy an agent" };
    let finding = Finding::failed(
        format!("{allowed}denied: {} (needed to {purpose})", list(&no)),
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
    use super::super::super::finding::CheckStatus;
    use super::*;

    #[test]
    fn verbs_are_those_of_the_two_roles() {
        let lines: Vec<String> = required()
            .iter()
            .map(|rule| format!("{:?} {:?} {:?}", rule.group, rule.resource, rule.verbs))
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
        let deployments =
            |allowed: [bool; 3], deploys| evaluate(&rules[0], Some(&allowed), "buildkit", deploys);
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
        assert_eq!(
            evaluate(&rules[0], None, "buildkit", true).status,
            CheckStatus::Warning
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
