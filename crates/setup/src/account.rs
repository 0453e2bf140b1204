//! What `setup` needs in AWS: an identity provider, a role, and its access to the cluster.

use serde_json::Value;

use crate::plan::{Action, Conflict, Step};
use crate::policy::{self, AUDIENCE, ISSUER};
use crate::repository::{Repository, Scope};
use crate::{TAG, group};

/// What the account needs.
#[derive(Debug, Clone)]
pub struct AwsTarget {
    pub partition: String,
    pub account: String,
    pub region: String,
    pub cluster: String,
    pub role: String,
    /// The namespace whose agents the role can use.
    pub namespace: String,
    pub repositories: Vec<Repository>,
    pub scope: Scope,
    /// The ARNs of the repositories in ECR.
    pub ecr: Vec<String>,
}

impl AwsTarget {
    /// Returns the ARN of GitHub's identity provider.
    pub fn provider_arn(&self) -> String {
        format!(
            "arn:{}:iam::{}:oidc-provider/{ISSUER}",
            self.partition, self.account
        )
    }

    pub fn role_arn(&self) -> String {
        format!("arn:{}:iam::{}:role/{}", self.partition, self.account, self.role)
    }

    /// Returns the Kubernetes group of the role.
    pub fn group(&self) -> String {
        group(&self.namespace)
    }

    pub fn cluster_arn(&self) -> String {
        let Self {
            partition,
            account,
            region,
            cluster,
            ..
        } = self;
        format!("arn:{partition}:eks:{region}:{account}:cluster/{cluster}")
    }
}

/// How a cluster authenticates principals of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticationMode {
    /// By the ConfigMap `aws-auth` alone, without access entries.
    ConfigMap,
    /// By access entries, with or without the ConfigMap.
    AccessEntries,
}

/// What the account has.
#[derive(Debug, Clone)]
pub struct FoundAws {
    /// The audiences of GitHub's identity provider, if it exists.
    pub audiences: Option<Vec<String>>,
    pub role: Option<FoundRole>,
    pub authentication_mode: AuthenticationMode,
    pub entry: Option<FoundEntry>,
}

/// An IAM role that exists.
#[derive(Debug, Clone)]
pub struct FoundRole {
    /// Whether it has this program's tag.
    pub ours: bool,
    pub trust: Value,
    /// The inline policy, if it exists.
    pub permissions: Option<Value>,
}

/// An access entry that exists.
#[derive(Debug, Clone)]
pub struct FoundEntry {
    pub groups: Vec<String>,
    /// `STANDARD`, or the type of an entry of nodes.
    pub kind: String,
}

/// Returns the steps for the account, in their order.
pub fn plan(target: &AwsTarget, found: &FoundAws) -> Result<Vec<Step>, Conflict> {
    let mut steps = vec![provider(found)];
    steps.extend(role(target, found)?);
    steps.push(authentication_mode(target, found));
    steps.push(entry(target, found)?);
    Ok(steps)
}

fn provider(found: &FoundAws) -> Step {
    let what = format!("OIDC identity provider {ISSUER}");
    match &found.audiences {
        None => Step::create(what, Action::CreateProvider),
        Some(audiences) if audiences.iter().any(|audience| audience == AUDIENCE) => Step::keep(what),
        Some(_) => Step::change(what, Action::AddAudience).with_details([format!("+ audience {AUDIENCE}")]),
    }
}

fn role(target: &AwsTarget, found: &FoundAws) -> Result<Vec<Step>, Conflict> {
    let what = format!("IAM role {}", target.role);
    let policy_name = format!("permissions of the IAM role {}", target.role);
    let (trust, permissions) = (policy::trust(target), policy::permissions(target));
    let Some(role) = &found.role else {
        let subjects = target.repositories.iter();
        let subjects = subjects.flat_map(|repository| repository.subjects(&target.scope));
        return Ok(vec![
            Step::create(what, Action::CreateRole)
                .with_details(subjects.map(|subject| format!("for jobs with the subject {subject}"))),
            Step::create(policy_name, Action::PutPermissions).with_details(actions(&permissions)),
        ]);
    };
    if !role.ours {
        let (key, value) = TAG;
        return Err(Conflict {
            what: format!(
                "The IAM role {} exists and does not have the tag {key}={value}, so remote-buildkit did not create it. \
                 Nothing was changed.",
                target.role_arn()
            ),
            remedy: format!(
                "Choose another name with `--role-name`. Or let remote-buildkit manage this role: aws iam tag-role \
                 --role-name {} --tags Key={key},Value={value}",
                target.role
            ),
        });
    }
    let trust_step = if policy::is_same(&role.trust, &trust) {
        Step::keep(what)
    } else {
        let details = policy::difference(&role.trust, &trust);
        Step::change(format!("trust policy of the {what}"), Action::UpdateTrustPolicy).with_details(details)
    };
    let permissions_step = match &role.permissions {
        Some(live) if policy::is_same(live, &permissions) => Step::keep(policy_name),
        Some(live) => Step::change(policy_name, Action::PutPermissions)
            .with_details(policy::difference(live, &permissions)),
        None => Step::create(policy_name, Action::PutPermissions).with_details(actions(&permissions)),
    };
    Ok(vec![trust_step, permissions_step])
}

/// Returns what a new permissions policy allows, a line for each statement.
fn actions(permissions: &Value) -> Vec<String> {
    let statements = permissions["Statement"].as_array().into_iter().flatten();
    let words = |value: &Value| match value {
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    statements
        .map(|statement| {
            format!(
                "{} on {}",
                words(&statement["Action"]),
                words(&statement["Resource"])
            )
        })
        .collect()
}

fn authentication_mode(target: &AwsTarget, found: &FoundAws) -> Step {
    let what = format!("authentication mode of the cluster {}", target.cluster);
    match found.authentication_mode {
        AuthenticationMode::AccessEntries => Step::keep(what),
        AuthenticationMode::ConfigMap => Step::change(what, Action::ChangeAuthenticationMode)
            .with_details(["CONFIG_MAP becomes API_AND_CONFIG_MAP, which cannot be undone".to_owned()]),
    }
}

fn entry(target: &AwsTarget, found: &FoundAws) -> Result<Step, Conflict> {
    let what = format!("access entry of the role {}", target.role);
    let group = target.group();
    let Some(entry) = &found.entry else {
        return Ok(
            Step::create(what, Action::CreateEntry).with_details([format!("+ Kubernetes group {group}")])
        );
    };
    if entry.kind != "STANDARD" {
        return Err(Conflict {
            what: format!(
                "The access entry of {} in the cluster {} has the type {}, which has no groups. Nothing was changed.",
                target.role_arn(),
                target.cluster,
                entry.kind
            ),
            remedy: "Choose another role with `--role-name`.".into(),
        });
    }
    if entry.groups.contains(&group) {
        return Ok(Step::keep(what));
    }
    let groups = entry.groups.iter().cloned().chain([group.clone()]);
    let kept = entry
        .groups
        .iter()
        .map(|group| format!("= Kubernetes group {group}"));
    let added = [format!("+ Kubernetes group {group}")];
    Ok(Step::change(what, Action::UpdateEntry(groups.collect())).with_details(kept.chain(added)))
}

#[cfg(test)]
impl AwsTarget {
    /// Returns what the documentation's example has.
    pub(crate) fn example() -> Self {
        Self {
            partition: "aws".into(),
            account: "123456789012".into(),
            region: "us-west-2".into(),
            cluster: "shop".into(),
            role: "remote-buildkit".into(),
            namespace: "buildkit".into(),
            repositories: Repository::parse("acme@1/shop@2").into_iter().collect(),
            scope: Scope::All,
            ecr: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> FoundAws {
        FoundAws {
            audiences: None,
            role: None,
            authentication_mode: AuthenticationMode::AccessEntries,
            entry: None,
        }
    }

    /// Returns an account in which everything exists.
    fn everything(target: &AwsTarget) -> FoundAws {
        FoundAws {
            audiences: Some(vec![AUDIENCE.into()]),
            role: Some(FoundRole {
                ours: true,
                trust: policy::trust(target),
                permissions: Some(policy::permissions(target)),
            }),
            authentication_mode: AuthenticationMode::AccessEntries,
            entry: Some(FoundEntry {
                groups: vec![target.group()],
                kind: "STANDARD".into(),
            }),
        }
    }

    fn text(target: &AwsTarget, found: &FoundAws) -> String {
        let steps = plan(target, found).expect("a plan");
        let lines: Vec<String> = steps.iter().flat_map(Step::lines).collect();
        lines.join("\n")
    }

    #[test]
    fn plans() {
        let target = AwsTarget::example();
        let half = FoundAws {
            audiences: Some(vec!["other".into()]),
            role: Some(FoundRole {
                ours: true,
                trust: policy::trust(&AwsTarget {
                    repositories: Repository::parse("acme/old").into_iter().collect(),
                    ..target.clone()
                }),
                permissions: None,
            }),
            authentication_mode: AuthenticationMode::ConfigMap,
            entry: Some(FoundEntry {
                groups: vec!["viewers".into()],
                kind: "STANDARD".into(),
            }),
        };
        let more = AwsTarget {
            ecr: vec!["arn:aws:ecr:us-west-2:123456789012:repository/shop".into()],
            ..target.clone()
        };
        let plans = [
            ("in an empty account", text(&target, &nothing())),
            ("with half of it", text(&target, &half)),
            ("with ECR in addition", text(&more, &everything(&target))),
            ("again", text(&target, &everything(&target))),
        ];
        let plans = plans.map(|(title, plan)| format!("{title}:\n{plan}"));
        insta::assert_snapshot!(plans.join("\n\n"));
    }

    #[test]
    fn an_unchanged_account_has_no_action() {
        let target = AwsTarget::example();
        let steps = plan(&target, &everything(&target)).expect("a plan");
        assert!(steps.iter().all(|step| step.action.is_none()));
    }

    #[test]
    fn what_belongs_to_others_is_a_conflict() {
        let target = AwsTarget::example();
        let mut found = everything(&target);
        let role = found.role.as_mut().expect("a role");
        role.ours = false;
        let role = plan(&target, &found).expect_err("a conflict");
        let mut found = everything(&target);
        let entry = found.entry.as_mut().expect("an entry");
        entry.kind = "EC2_LINUX".into();
        let entry = plan(&target, &found).expect_err("a conflict");
        let texts = [role, entry].map(|conflict| format!("{}\n{}", conflict.what, conflict.remedy));
        insta::assert_snapshot!(texts.join("\n\n"));
    }
}
