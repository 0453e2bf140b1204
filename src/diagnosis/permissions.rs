//! What RBAC has to allow, verb by verb.

use super::Finding;
use crate::agent::manifests::rbac::{DEPLOY, RoleRule, USE};

/// A rule of the Role *deploy*, which has all of the Role *use*: what each of its verbs is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub group: &'static str,
    /// With its subresource: `pods/exec`.
    pub resource: &'static str,
    pub verbs: Vec<(&'static str, For)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Building on an agent that is there.
    Use,
    /// Deploying it.
    Deploy,
}

/// All that a job may need, in the order of the Roles.
pub fn wanted() -> Vec<Wanted> {
    let used = |(group, resource, verb): (&str, &str, &str)| {
        let mut rules = USE.iter();
        rules.any(|(g, r, verbs)| (*g, *r) == (group, resource) && verbs.contains(&verb))
    };
    let one = |(group, resource, verbs): &RoleRule| Wanted {
        group,
        resource,
        verbs: verbs
            .iter()
            .map(|verb| {
                (
                    *verb,
                    if used((group, resource, verb)) {
                        For::Use
                    } else {
                        For::Deploy
                    },
                )
            })
            .collect(),
    };
    DEPLOY.iter().map(one).collect()
}

/// Of one rule, with the cluster's answer for each verb. `deploys`: an agent is absent, and would have to be deployed.
pub fn judged(wanted: &Wanted, allowed: &[bool], namespace: &str, deploys: bool) -> Finding {
    let verbs = wanted.verbs.iter().zip(allowed);
    let (yes, no): (Vec<_>, Vec<_>) = verbs.partition(|(_, allowed)| **allowed);
    let list = |verbs: &[(&(&'static str, For), &bool)]| {
        let names: Vec<&str> = verbs.iter().map(|((verb, _), _)| *verb).collect();
        names.join(", ")
    };
    if no.is_empty() {
        return Finding::ok(format!("may {}", list(&yes)));
    }
    let may = if yes.is_empty() {
        String::new()
    } else {
        format!("may {}; ", list(&yes))
    };
    let to_use = no.iter().any(|((_, purpose), _)| *purpose == For::Use);
    let purpose = if to_use { "build" } else { "deploy an agent" };
    let finding = Finding::failed(
        format!("{may}may not {}, which is needed to {purpose}", list(&no)),
        format!(
            "Bind a Role to this identity in the namespace {namespace} with the rule {{apiGroups: [\"{}\"], resources: \
             [{}], verbs: [{}]}}; remote-buildkit manifests --rbac prints the whole Role.",
            wanted.group,
            wanted.resource,
            list(&no)
        ),
    );
    if to_use || deploys {
        finding
    } else {
        finding.no_failure()
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn verbs_are_those_of_the_two_roles() {
        let lines: Vec<String> = wanted()
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
    fn what_is_missing_matters_to_who_needs_it() {
        let rules = wanted();
        let deployments = |allowed: [bool; 3], deploys| judged(&rules[0], &allowed, "buildkit", deploys);
        assert_eq!(
            deployments([true; 3], true),
            Finding::ok("may get, create, patch")
        );
        let only_use = deployments([true, false, false], false);
        assert_eq!(only_use.state, State::Warning);
        assert_eq!(
            only_use.found,
            "may get; may not create, patch, which is needed to deploy an agent"
        );
        assert_eq!(deployments([true, false, false], true).state, State::Failed);
        let nothing = deployments([false; 3], false);
        assert_eq!(nothing.state, State::Failed);
        assert!(
            nothing
                .remedy
                .contains("{apiGroups: [\"apps\"], resources: [deployments], verbs: [get, create, patch]}"),
            "{nothing:?}"
        );
    }
}
