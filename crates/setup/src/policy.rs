//! The IAM policies of the role, and how they differ from existing ones.

use serde_json::{Value, json};

use crate::account::AwsTarget;
use crate::repository::Scope;

/// The host of the issuer of GitHub's OIDC tokens.
pub const ISSUER: &str = "token.actions.githubusercontent.com";

/// The audience that the tokens must have, which is the default of `connect`.
pub const AUDIENCE: &str = "sts.amazonaws.com";

const VERSION: &str = "2012-10-17";

/// The permissions to pull and push images.
const ECR_ACTIONS: [&str; 7] = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
];

/// Returns the trust policy: exactly the given repositories, in both forms of the subject. The only wildcard is for the jobs of
/// a repository, after its complete name.
pub fn trust(target: &AwsTarget) -> Value {
    let subjects = target.repositories.iter();
    let subjects: Vec<String> = subjects
        .flat_map(|repository| repository.subjects(&target.scope))
        .collect();
    let (audience_key, subject_key) = (format!("{ISSUER}:aud"), format!("{ISSUER}:sub"));
    let condition = match target.scope {
        Scope::All => json!({
            "StringEquals": { audience_key: AUDIENCE },
            "StringLike": { subject_key: one_or_list(subjects) },
        }),
        Scope::Branch(_) | Scope::Environment(_) => json!({
            "StringEquals": { audience_key: AUDIENCE, subject_key: one_or_list(subjects) },
        }),
    };
    json!({
        "Version": VERSION,
        "Statement": [{
            "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": { "Federated": target.provider_arn() },
            "Condition": condition,
        }],
    })
}

/// Returns the permissions policy: to find the cluster, and to pull and push images of the given ECR repositories.
pub fn permissions(target: &AwsTarget) -> Value {
    let mut statements = vec![json!({
        "Effect": "Allow",
        "Action": "eks:DescribeCluster",
        "Resource": target.cluster_arn(),
    })];
    if !target.ecr.is_empty() {
        statements.push(json!({ "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*" }));
        statements.push(json!({
            "Effect": "Allow",
            "Action": ECR_ACTIONS,
            "Resource": one_or_list(target.ecr.clone()),
        }));
    }
    json!({ "Version": VERSION, "Statement": statements })
}

fn one_or_list(mut values: Vec<String>) -> Value {
    match values.len() {
        1 => values.remove(0).into(),
        _ => values.into(),
    }
}

/// Returns whether two policies mean the same: to IAM a single value and a list of one are the same, and the order of a list
/// does not count.
pub fn is_same(one: &Value, other: &Value) -> bool {
    normalized(one) == normalized(other)
}

fn normalized(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(normalized).collect();
            items.sort_by_key(ToString::to_string);
            items.dedup();
            if items.len() == 1 {
                items.remove(0)
            } else {
                items.into()
            }
        }
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields
                .iter()
                .map(|(key, value)| (key.clone(), normalized(value)))
                .collect();
            fields.sort_by(|(one, _), (other, _)| one.cmp(other));
            Value::Object(fields.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// Returns the values that only one of two policies has, each after its place in the policy.
pub fn difference(old: &Value, new: &Value) -> Vec<String> {
    let values = |policy: &Value| {
        let mut found = Vec::new();
        collect_values(policy, "", &mut found);
        found
    };
    let (old, new) = (values(old), values(new));
    let removed = old.iter().filter(|value| !new.contains(value));
    let added = new.iter().filter(|value| !old.contains(value));
    let mut lines: Vec<String> = removed.map(|value| format!("- {value}")).collect();
    lines.extend(added.map(|value| format!("+ {value}")));
    if lines.is_empty() {
        lines.push("the same values in other statements".into());
    }
    lines
}

/// Collects the values of a policy as `KEY: VALUE`. The keys above say little about what is allowed.
fn collect_values(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                collect_values(value, key, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                collect_values(item, key, found);
            }
        }
        scalar => {
            let text = scalar.as_str().map_or_else(|| scalar.to_string(), str::to_owned);
            let line = format!("{key}: {text}");
            if !found.contains(&line) {
                found.push(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Repository;

    fn target(repositories: &[&str], scope: Scope) -> AwsTarget {
        let repositories = repositories.iter();
        AwsTarget {
            repositories: repositories
                .map(|text| Repository::parse(text).expect("valid"))
                .collect(),
            scope,
            ..AwsTarget::example()
        }
    }

    #[test]
    fn trust_policies() {
        let policies = [
            target(&["acme/shop"], Scope::All),
            target(&["acme@1/shop@2", "acme@1/web@3"], Scope::All),
            target(&["acme@1/shop@2"], Scope::Branch("main".into())),
            target(&["acme/shop"], Scope::Environment("release".into())),
        ];
        let texts = policies.map(|target| format!("{:#}", trust(&target)));
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn permissions_policies() {
        let with_ecr = AwsTarget {
            ecr: vec![
                "arn:aws:ecr:us-west-2:123456789012:repository/shop".into(),
                "arn:aws:ecr:us-west-2:123456789012:repository/team/web".into(),
            ],
            ..AwsTarget::example()
        };
        let texts = [AwsTarget::example(), with_ecr].map(|target| format!("{:#}", permissions(&target)));
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    /// The examples are for those who set the account up by hand. Their statements have names, which mean nothing to IAM.
    #[test]
    fn the_examples_have_the_same_policies() {
        let example = |text: &str| -> Value {
            let mut policy: Value = serde_json::from_str(text).expect("JSON");
            for statement in policy["Statement"].as_array_mut().expect("statements") {
                statement.as_object_mut().expect("a statement").remove("Sid");
            }
            policy
        };
        let of_all = AwsTarget {
            ecr: vec!["arn:aws:ecr:us-west-2:123456789012:repository/shop".into()],
            ..target(&["acme@123456/shop@987654321"], Scope::All)
        };
        let of_main = target(&["acme@123456/shop@987654321"], Scope::Branch("main".into()));
        let permissions_example = example(include_str!("../../../examples/iam/permissions-policy.json"));
        assert!(is_same(&permissions(&of_all), &permissions_example));
        let trust_example = example(include_str!("../../../examples/iam/trust-policy.json"));
        assert!(is_same(&trust(&of_all), &trust_example));
        let release_example = example(include_str!("../../../examples/iam/release-trust-policy.json"));
        assert!(is_same(&trust(&of_main), &release_example));
    }

    #[test]
    fn a_list_of_one_and_another_order_are_the_same_policy() {
        let one = json!({"Statement": [{"Action": ["a", "b"], "Resource": "*"}], "Version": "x"});
        let other = json!({"Version": "x", "Statement": {"Resource": ["*"], "Action": ["b", "a"]}});
        assert!(is_same(&one, &other));
        assert!(!is_same(
            &one,
            &json!({"Statement": [{"Action": ["a", "b"], "Resource": "x"}], "Version": "x"})
        ));
    }

    #[test]
    fn a_difference_has_the_values_that_changed() {
        let old = trust(&target(&["acme@1/shop@2", "acme@1/old@9"], Scope::All));
        let new = trust(&target(&["acme@1/shop@2", "acme@1/web@3"], Scope::All));
        let subject = format!("{ISSUER}:sub");
        assert_eq!(
            difference(&old, &new),
            [
                format!("- {subject}: repo:acme/old:*"),
                format!("- {subject}: repo:acme@1/old@9:*"),
                format!("+ {subject}: repo:acme/web:*"),
                format!("+ {subject}: repo:acme@1/web@3:*"),
            ]
        );
        assert_eq!(difference(&old, &old), ["the same values in other statements"]);
    }
}
