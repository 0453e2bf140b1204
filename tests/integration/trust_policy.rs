//! The trust policies of the examples: which subjects of GitHub's OIDC tokens they admit.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

const SUBJECT: &str = "token.actions.githubusercontent.com:sub";

/// Returns whether a value matches a pattern of the operator `StringLike`: `*` stands for any characters, `?` for one, and all
/// others, in their case, for themselves (IAM's reference of condition operators).
fn string_like(pattern: &str, value: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return value.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    if first == '*' {
        let mut ends = value.char_indices().map(|(at, _)| at).chain([value.len()]);
        return ends.any(|at| string_like(rest, &value[at..]));
    }
    let mut chars = value.chars();
    let same = chars.next().is_some_and(|char| first == '?' || first == char);
    same && string_like(rest, chars.as_str())
}

#[test]
fn patterns_match_as_in_iam() {
    for (pattern, value, matches) in [
        ("repo:acme/shop:*", "repo:acme/shop:", true),
        ("repo:acme/shop:*", "repo:acme/shop:ref:refs/heads/a/b", true),
        ("repo:acme/shop:*", "repo:Acme/shop:pull_request", false),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("*:x*y", "1:2:xzy", true),
        ("*:x*y", "1:2:xzyz", false),
        ("", "", true),
    ] {
        assert_eq!(string_like(pattern, value), matches, "{pattern} {value}");
    }
}

/// Returns the only statement of an example's trust policy.
fn statement(file: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/iam")
        .join(file);
    let policy: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let [statement] = policy["Statement"].as_array().context("no list")?.as_slice() else {
        anyhow::bail!("not one statement: {policy}");
    };
    Ok(statement.clone())
}

#[test]
fn trust_policy_admits_one_repository_in_both_forms() -> Result<()> {
    let statement = statement("trust-policy.json")?;
    assert_eq!(statement["Effect"], "Allow");
    assert_eq!(statement["Action"], "sts:AssumeRoleWithWebIdentity");
    // Each key of a condition must match, so the audience is required for every subject.
    let conditions = statement["Condition"].as_object().context("no conditions")?;
    let operators: Vec<&String> = conditions.keys().collect();
    assert_eq!(operators, ["StringEquals", "StringLike"]);
    let audience = serde_json::json!({"token.actions.githubusercontent.com:aud": "sts.amazonaws.com"});
    assert_eq!(conditions["StringEquals"], audience);
    let patterns = conditions["StringLike"][SUBJECT].as_array().context("no list")?;
    let patterns: Vec<&str> = patterns.iter().filter_map(Value::as_str).collect();
    assert_eq!(patterns.len(), 2, "{patterns:?}");
    for (subject, admitted) in [
        ("repo:acme/shop:ref:refs/heads/main", true),
        ("repo:acme/shop:ref:refs/tags/v1.0.0", true),
        ("repo:acme/shop:pull_request", true),
        ("repo:acme/shop:environment:production", true),
        ("repo:acme@123456/shop@987654321:ref:refs/heads/main", true),
        ("repo:acme@123456/shop@987654321:pull_request", true),
        ("repo:acme@123456/shop@987654321:environment:production", true),
        // Other repositories and owners.
        ("repo:acme/shop-evil:ref:refs/heads/main", false),
        ("repo:acme/shops:ref:refs/heads/main", false),
        ("repo:acme-evil/shop:ref:refs/heads/main", false),
        ("repo:evil/acme/shop:ref:refs/heads/main", false),
        ("repo:evil/shop:ref:refs/heads/main", false),
        // Somebody who took the name of a deleted or renamed owner or repository has other ids.
        ("repo:acme@1/shop@2:ref:refs/heads/main", false),
        ("repo:acme@1/shop@987654321:ref:refs/heads/main", false),
        ("repo:acme@123456/shop@2:ref:refs/heads/main", false),
        ("repo:acme@1234567/shop@987654321:ref:refs/heads/main", false),
        ("repo:acme@123456/shop@9876543210:ref:refs/heads/main", false),
        // A mixture of the forms, which GitHub does not issue.
        ("repo:acme@123456/shop:ref:refs/heads/main", false),
        ("repo:acme/shop@987654321:ref:refs/heads/main", false),
        // Names in another case: GitHub issues them as the repository is spelled.
        ("repo:Acme/Shop:ref:refs/heads/main", false),
        ("acme/shop:ref:refs/heads/main", false),
        ("", false),
    ] {
        let matches = patterns.iter().any(|pattern| string_like(pattern, subject));
        ensure!(matches == admitted, "{subject} is admitted: {matches}");
    }
    Ok(())
}

/// The policy of the release role compares without patterns, and admits one branch of the same repository.
#[test]
fn release_trust_policy_admits_one_branch_in_both_forms() -> Result<()> {
    let release = statement("release-trust-policy.json")?;
    let usual = statement("trust-policy.json")?;
    for key in ["Effect", "Action", "Principal"] {
        assert_eq!(release[key], usual[key]);
    }
    let patterns = usual["Condition"]["StringLike"][SUBJECT]
        .as_array()
        .context("no list")?;
    let patterns = patterns.iter().filter_map(Value::as_str);
    let branch: Vec<String> = patterns
        .map(|pattern| pattern.replace('*', "ref:refs/heads/main"))
        .collect();
    let condition = serde_json::json!({"StringEquals": {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        SUBJECT: branch,
    }});
    assert_eq!(release["Condition"], condition);
    Ok(())
}
