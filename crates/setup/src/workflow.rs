//! The workflow that `setup` prints, to paste into a repository.

use crate::account::AwsTarget;
use crate::repository::Scope;

/// Returns a workflow that builds on the agents.
pub fn workflow(target: &AwsTarget, namespace: &str, agent: &str) -> String {
    let (branch, environment) = match &target.scope {
        Scope::All => ("main", String::new()),
        Scope::Branch(branch) => (branch.as_str(), String::new()),
        Scope::Environment(environment) => ("main", format!("    environment: {}\n", yaml(environment))),
    };
    let mut inputs = vec![
        ("cluster", target.cluster.clone()),
        ("region", target.region.clone()),
        ("role-to-assume", target.role_arn()),
        ("namespace", namespace.to_owned()),
    ];
    if agent != DEFAULT_AGENT {
        inputs.push(("name", agent.to_owned()));
    }
    inputs.push(("deploy", "never".to_owned()));
    let mut build = "          context: .\n".to_owned();
    if let Some((registry, image)) = target.ecr.first().and_then(|arn| image(arn)) {
        inputs.push(("ecr", registry.clone()));
        build.push_str(&format!(
            "          push: true\n          tags: {registry}/{image}:latest\n"
        ));
    }
    let inputs: String = inputs
        .into_iter()
        .map(|(name, value)| format!("          {name}: {}\n", yaml(&value)))
        .collect();
    format!(
        "name: Build
on:
  push:
    branches: [{branch}]
jobs:
  build:
    runs-on: ubuntu-latest
{environment}    permissions:
      contents: read
      id-token: write # for role-to-assume
    steps:
      - uses: actions/checkout@v7
        with:
          persist-credentials: false
      - uses: org/remote-buildkit@v1
        with:
{inputs}      - uses: docker/build-push-action@v7
        with:
{build}",
        branch = yaml(branch)
    )
}

/// The default of the input `name`.
const DEFAULT_AGENT: &str = "remote-buildkit-agent";

/// Returns the registry's host and the repository of an ARN of ECR.
fn image(arn: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, _, region, account, resource] = parts[..] else {
        return None;
    };
    let suffix = if partition == "aws-cn" {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    let repository = resource.strip_prefix("repository/")?;
    Some((
        format!("{account}.dkr.ecr.{region}.{suffix}"),
        repository.to_owned(),
    ))
}

/// Returns a text as a value of YAML: in quotes if it is not plain.
fn yaml(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_word && !text.ends_with(':') && !reserved.contains(&text.to_lowercase().as_str()) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflows() {
        let example = AwsTarget::example();
        let release = AwsTarget {
            scope: Scope::Environment("release".into()),
            ecr: vec!["arn:aws:ecr:us-west-2:123456789012:repository/team/shop".into()],
            ..example.clone()
        };
        let branch = AwsTarget {
            scope: Scope::Branch("1.x".into()),
            ..example.clone()
        };
        let texts = [
            workflow(&example, "buildkit", DEFAULT_AGENT),
            workflow(&release, "release", "agent"),
            workflow(&branch, "buildkit", DEFAULT_AGENT),
        ];
        insta::assert_snapshot!(texts.join("\n"));
    }
}
