//! The Terraform examples parse, are formatted as `terraform fmt` does it, and refer only to what they
//! declare. `terraform validate` is not used, because it needs the providers, which come from their own registry.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use remote_buildkit_agent::manifests::rbac;
use serde_json::json;

use crate::support::{LAB, output};

/// The directories of the configurations.
const RUNNER: &str = "examples/terraform";
const TEAMS: &str = "examples/terraform/teams";

fn files(dir: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir))? {
        let path = entry?.path();
        if path.is_file() {
            found.push((path.clone(), std::fs::read_to_string(&path)?));
        }
    }
    ensure!(found.len() >= 4, "only {} files", found.len());
    Ok(found)
}

/// Returns the file as Terraform formats it, or an error if it is not valid Terraform.
fn formatted(path: &Path) -> Result<String> {
    let output = output(Command::new(LAB.bin.join("hclfmt")).arg("-check").arg(path))?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn files_parse_and_are_formatted() -> Result<()> {
    for (path, text) in [files(RUNNER)?, files(TEAMS)?].concat() {
        assert_eq!(formatted(&path)?, text, "{}", path.display());
    }
    let dir = tempfile::tempdir()?;
    let broken = dir.path().join("broken.tf");
    std::fs::write(&broken, "resource \"aws_iam_role\" {\n  name = \n")?;
    ensure!(formatted(&broken).is_err(), "invalid Terraform was accepted");
    let untidy = dir.path().join("untidy.tf");
    std::fs::write(&untidy, "variable \"x\" {\ntype=string\n}\n")?;
    assert_eq!(formatted(&untidy)?, "variable \"x\" {\n  type = string\n}\n");
    Ok(())
}

/// Returns the reference to each top-level block (`kind "type" "name"`).
fn declared(text: &str) -> BTreeSet<String> {
    let block = |line: &str| {
        let mut parts = line.split('"');
        let (kind, first) = (parts.next()?.trim(), parts.next()?);
        let second = parts.nth(1).unwrap_or_default();
        match kind {
            "variable" => Some(format!("var.{first}")),
            "resource" => Some(format!("{first}.{second}")),
            "data" => Some(format!("data.{first}.{second}")),
            _ => None,
        }
    };
    text.lines()
        .filter(|line| line.ends_with('{') || line.ends_with("{}"))
        .filter_map(block)
        .collect()
}

/// Returns the references in the text: `var.NAME`, `data.TYPE.NAME`, `aws_TYPE.NAME`, `kubernetes_TYPE.NAME`.
fn referred(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let reference = |word: &str| {
        let parts: Vec<&str> = word.split('.').collect();
        match parts[..] {
            ["var", name, ..] => Some(format!("var.{name}")),
            ["data", kind, name, ..] => Some(format!("data.{kind}.{name}")),
            [kind, name, ..] if kind.starts_with("aws_") || kind.starts_with("kubernetes_") => {
                Some(format!("{kind}.{name}"))
            }
            _ => None,
        }
    };
    words.filter_map(reference).collect()
}

/// Returns the text of a configuration, after checking that what it refers to is declared and every variable is used.
fn resolved(dir: &str) -> Result<String> {
    let text: String = files(dir)?.into_iter().map(|(_, text)| text + "\n").collect();
    let (declared, referred) = (declared(&text), referred(&text));
    let missing: Vec<_> = referred.difference(&declared).collect();
    ensure!(missing.is_empty(), "{dir}: not declared: {missing:?}");
    let variables = declared.iter().filter(|name| name.starts_with("var."));
    let unused: Vec<_> = variables.filter(|name| !referred.contains(*name)).collect();
    ensure!(unused.is_empty(), "{dir}: not used: {unused:?}");
    Ok(text)
}

#[test]
fn references_resolve_and_every_variable_is_used() -> Result<()> {
    let text = resolved(RUNNER)?;
    let declared = declared(&text);
    for required in [
        "aws_iam_role.runner",
        "aws_iam_instance_profile.runner",
        "aws_eks_access_entry.runner",
    ] {
        ensure!(declared.contains(required), "there is no {required}");
    }
    // The permissions are the ones that the program needs.
    for action in ["eks:DescribeCluster", "ecr:GetAuthorizationToken"] {
        ensure!(
            text.contains(&format!("\"{action}\"")),
            "the role may not {action}"
        );
    }
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/iam/permissions-policy.json");
    let policy: serde_json::Value = serde_json::from_slice(&std::fs::read(policy)?)?;
    let action = policy["Statement"][0]["Action"].as_str().context("an action")?;
    ensure!(
        text.contains(&format!("\"{action}\"")),
        "the role may not {action}"
    );
    Ok(())
}

/// The Role of a team has the rules that `manifests --rbac` prints, and its trust policy both forms of the subject.
#[test]
fn teams_can_use_agents_from_their_repositories() -> Result<()> {
    let text = resolved(TEAMS)?;
    let declared = declared(&text);
    for required in [
        "aws_iam_role.team",
        "aws_eks_access_entry.team",
        "kubernetes_namespace_v1.team",
        "kubernetes_role_binding_v1.use",
    ] {
        ensure!(declared.contains(required), "there is no {required}");
    }
    for subject in [
        r#""repo:${var.owner}/${name}:*""#,
        r#""repo:${var.owner}@${var.owner_id}/${name}@${id}:*""#,
    ] {
        ensure!(text.contains(subject), "the trust policy has no {subject}");
    }
    let (_, role) = text
        .split_once("resource \"kubernetes_role_v1\" \"use\"")
        .context("no Role")?;
    let (role, _) = role.split_once("\n}\n").context("the Role does not end")?;
    let words: String = role.split_whitespace().collect();
    ensure!(role.matches("rule {").count() == rbac::USE.len(), "{role}");
    for (group, resource, verbs) in rbac::USE {
        let expected = format!(
            "api_groups=[{group:?}]resources=[{resource:?}]verbs={}",
            json!(verbs)
        );
        ensure!(words.contains(&expected), "no {expected} in {words}");
    }
    Ok(())
}
