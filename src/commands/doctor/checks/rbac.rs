//! Checks which permissions the cluster's RBAC gives to the identity, verb by verb, with a row for each resource.

use futures::future::try_join_all;

use super::super::Doctor;
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

/// Asks the API server about each verb of a rule. `deploys` says whether connect would deploy an agent.
pub async fn run(
    doctor: &Doctor,
    cluster: &Cluster,
    rule: &RequiredRule,
    deploys: bool,
) -> anyhow::Result<(Finding, ())> {
    let ask = |(verb, _): &(&'static str, _)| cluster.is_allowed(verb, rule.group, rule.resource);
    let answers = try_join_all(rule.verbs.iter().map(ask)).await?;
    let answers: Option<Vec<bool>> = answers.into_iter().collect();
    let namespace = &doctor.plan.agents.spec.namespace;
    let finding = evaluate(rule, answers.as_deref(), namespace, deploys);
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
    let list = |verbs: Vec<&'static str>| verbs.join(", ");
    let allowed = list(yes.iter().map(|((verb, _), _)| *verb).collect());
    if no.is_empty() {
        return Finding::ok(format!("allowed: {allowed}"));
    }
    let denied_to = |wanted: Purpose| -> Vec<&'static str> {
        let denied = no.iter().filter(|((_, purpose), _)| *purpose == wanted);
        denied.map(|((verb, _), _)| *verb).collect()
    };
    let (to_use, to_deploy) = (denied_to(Purpose::Use), denied_to(Purpose::Deploy));
    let denied = [(&to_use, "build"), (&to_deploy, "deploy an agent")]
        .into_iter()
        .filter(|(verbs, _)| !verbs.is_empty())
        .map(|(verbs, purpose)| format!("{} (needed to {purpose})", list(verbs.clone())));
    let denied: Vec<String> = denied.collect();
    let mut found = format!("denied: {}", denied.join("; "));
    if !yes.is_empty() {
        found = format!("allowed: {allowed}; {found}");
    }
    let needed = match deploys {
        true => [to_use, to_deploy].concat(),
        false => to_use,
    };
    if needed.is_empty() {
        return Finding::warning(
            found,
            format!(
                "Bind the Role remote-buildkit-deploy to this identity only if it is to deploy agents: `remote-buildkit \
                 manifests --rbac --namespace {namespace}` prints the Role."
            ),
        );
    }
    Finding::failed(
        found,
        format!(
            "Bind a Role to this identity in the namespace {namespace} with the rule {{apiGroups: [\"{}\"], resources: \
             [{}], verbs: [{}]}}; `remote-buildkit manifests --rbac --namespace {namespace}` prints the complete Roles.",
            rule.group,
            rule.resource,
            list(needed)
        ),
    )
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
        assert!(
            only_use
                .remedy
                .starts_with("Bind the Role remote-buildkit-deploy to this identity only if"),
            "{only_use:?}"
        );
        assert_eq!(
            deployments([true, false, false], true).status,
            CheckStatus::Failed
        );
        assert_eq!(
            evaluate(&rules[0], None, "buildkit", true).status,
            CheckStatus::Warning
        );
        let nothing = |deploys| deployments([false; 3], deploys);
        for (deploys, verbs) in [(false, "get"), (true, "get, create, patch")] {
            let nothing = nothing(deploys);
            assert_eq!(nothing.status, CheckStatus::Failed);
            assert_eq!(
                nothing.found,
                "denied: get (needed to build); create, patch (needed to deploy an agent)"
            );
            let rule = format!("{{apiGroups: [\"apps\"], resources: [deployments], verbs: [{verbs}]}}");
            assert!(nothing.remedy.contains(&rule), "{nothing:?}");
        }
    }
}
