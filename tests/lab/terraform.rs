//! The Terraform examples parse, are formatted as `terraform fmt` does it, and refer only to what they
//! declare. `terraform validate` is not used, because it needs the providers, which come from their own registry.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::support::{LAB, output};

fn files() -> Result<Vec<(PathBuf, String)>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/terraform");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        found.push((path.clone(), std::fs::read_to_string(&path)?));
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
    for (path, text) in files()? {
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
        .filter(|line| line.ends_with('{'))
        .filter_map(block)
        .collect()
}

/// Returns the references in the text: `var.NAME`, `data.TYPE.NAME`, `aws_TYPE.NAME`.
fn referred(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let code: String = code.collect::<Vec<_>>().join("\n");
    let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
    let reference = |word: &str| {
        let parts: Vec<&str> = word.split('.').collect();
        match parts[..] {
            ["var", name, ..] => Some(format!("var.{name}")),
            ["data", kind, name, ..] => Some(format!("data.{kind}.{name}")),
            [kind, name, ..] if kind.starts_with("aws_") => Some(format!("{kind}.{name}")),
            _ => None,
        }
    };
    words.filter_map(reference).collect()
}

#[test]
fn references_resolve_and_every_variable_is_used() -> Result<()> {
    let text: String = files()?.into_iter().map(|(_, text)| text + "\n").collect();
    let (declared, referred) = (declared(&text), referred(&text));
    let missing: Vec<_> = referred.difference(&declared).collect();
    ensure!(missing.is_empty(), "not declared: {missing:?}");
    let variables = declared.iter().filter(|name| name.starts_with("var."));
    let unused: Vec<_> = variables.filter(|name| !referred.contains(*name)).collect();
    ensure!(unused.is_empty(), "not used: {unused:?}");
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
