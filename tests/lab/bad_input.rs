//! What cannot work says so in a paragraph: what was tried, what came back, what to do. And nothing is left.

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Outcome, Runner, role};

/// `connect` has to fail with this title and these words, and leave nothing behind.
fn refused(mut runner: Runner, inputs: &[(&str, &str)], title: &str, words: &[&str]) -> Result<()> {
    let before = runner.tree()?;
    let env = runner.env.clone();
    let outcome = runner.connect(inputs)?;
    check(&mut runner, &outcome, title, words)?;
    ensure!(
        runner.env == env,
        "a builder is selected: {:?}",
        runner.env.get("BUILDX_BUILDER")
    );
    let after = runner.tree()?;
    let written: Vec<_> = after.keys().filter(|path| !before.contains_key(*path)).collect();
    ensure!(written.is_empty(), "{title}: left behind {written:?}");
    Ok(())
}

fn check(runner: &mut Runner, outcome: &Outcome, title: &str, words: &[&str]) -> Result<()> {
    ensure!(
        outcome.code == Some(1),
        "{title}: exit code {:?}: {}",
        outcome.code,
        outcome.log
    );
    let annotation = format!("::error title={title}::");
    let line = outcome.log.lines().find(|l| l.starts_with(&annotation));
    let Some(line) = line else {
        anyhow::bail!("no annotation {annotation} in {}", outcome.log);
    };
    for word in words {
        ensure!(line.contains(word), "{title}: {word:?} is not in {line}");
    }
    // What was tried and what came back, and what to do, each a line of the message.
    ensure!(line.contains("%0A"), "{title}: no remedy in {line}");
    ensure!(
        outcome.outputs.is_empty(),
        "{title}: outputs {:?}",
        outcome.outputs
    );
    runner.disconnect()?.ok()?;
    Ok(())
}

#[test]
fn invalid_values_are_named_all_at_once() -> Result<()> {
    refused(
        Runner::new()?,
        &[
            ("storage", "lots"),
            ("name", "No_Name"),
            ("timeout", "soon"),
            ("memory", "8 Gi"),
        ],
        "Bad input",
        &[
            "`storage: lots`",
            "`name: No_Name`",
            "`timeout: soon`",
            "`memory: 8 Gi`",
        ],
    )
}

#[test]
fn unknown_cluster() -> Result<()> {
    refused(
        Runner::new()?,
        &[("cluster", "nowhere")],
        "Unknown cluster",
        &[
            "eks:DescribeCluster",
            "nowhere",
            "ResourceNotFoundException",
            "aws eks list-clusters --region eu-west-1",
        ],
    )
}

#[test]
fn wrong_region() -> Result<()> {
    refused(
        Runner::new()?,
        &[("region", "us-west-2")],
        "Unknown cluster",
        &["us-west-2", "the inputs `cluster` and `region`"],
    )
}

#[test]
fn role_that_may_not_be_assumed() -> Result<()> {
    refused(
        Runner::new()?,
        &[("role-to-assume", &role("absent"))],
        "Role not assumed",
        &[
            "role/absent",
            "repo:acme/shop:ref:refs/heads/main",
            "sts:AssumeRoleWithWebIdentity",
            "oidc-provider/token.actions.githubusercontent.com",
        ],
    )
}

#[test]
fn no_id_token_permission() -> Result<()> {
    let mut runner = Runner::new()?;
    runner.env.remove("ACTIONS_ID_TOKEN_REQUEST_URL");
    runner.env.remove("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
    let words = [
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "permissions: { id-token: write, contents: read }",
    ];
    refused(runner, &[], "No OIDC token for this job", &words)
}

#[test]
fn no_credentials_at_all() -> Result<()> {
    let mut runner = Runner::new()?;
    let outcome = runner.connect_with(&[("cluster", &LAB.cluster), ("region", &LAB.region)])?;
    check(
        &mut runner,
        &outcome,
        "No AWS credentials",
        &["role-to-assume", "id-token: write"],
    )
}

#[test]
fn no_permission_to_describe() -> Result<()> {
    refused(
        Runner::new()?,
        &[("role-to-assume", &role("ci-no-describe"))],
        "Cluster may not be described",
        &[
            "AccessDenied",
            "\"Action\": \"eks:DescribeCluster\"",
            "arn:aws:eks:eu-west-1:*:cluster/demo",
        ],
    )
}

#[test]
fn no_access_entry() -> Result<()> {
    refused(
        Runner::new()?,
        &[("role-to-assume", &role("ci-no-entry"))],
        "Not known to the cluster",
        &[
            "401",
            "aws eks create-access-entry",
            "--cluster-name demo",
            &role("ci-no-entry"),
        ],
    )
}

#[test]
fn no_rbac() -> Result<()> {
    refused(
        Runner::new()?,
        &[("role-to-assume", &role("ci-no-rbac"))],
        "No permission in the cluster",
        &[
            "get deployments",
            "403",
            "apiGroups: [\"apps\"]",
            "resources: [deployments]",
            "verbs: [get]",
        ],
    )
}

#[test]
fn namespace_that_does_not_exist() -> Result<()> {
    refused(
        Runner::new()?,
        &[("namespace", "nowhere")],
        "No such namespace",
        &[
            "namespaces \"nowhere\" not found",
            "kubectl create namespace nowhere",
        ],
    )
}

#[test]
fn agent_that_must_not_be_deployed() -> Result<()> {
    let namespace = Namespace::new("never")?;
    let inputs = [("namespace", "never"), ("deploy", "never")];
    refused(
        Runner::new()?,
        &inputs,
        "No agent",
        &[
            "remote-buildkit-agent in the namespace never",
            "deploy: if-absent",
        ],
    )?;
    ensure!(
        namespace.names("deployment")?.is_empty(),
        "something was deployed"
    );
    Ok(())
}

#[test]
fn agent_that_buildx_cannot_use() -> Result<()> {
    let namespace = Namespace::new("unusable")?;
    namespace.apply(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE}
spec:
  replicas: 0
  selector: {matchLabels: {run: other}}
  template:
    metadata: {labels: {run: other}}
    spec: {containers: [{name: buildkitd, image: "moby/buildkit:v0.34.2"}]}
"#,
    )?;
    let inputs = [("namespace", "unusable")];
    refused(
        Runner::new()?,
        &inputs,
        "Agent not usable",
        &["app=remote-buildkit-agent"],
    )
}

#[test]
fn image_that_cannot_be_pulled() -> Result<()> {
    let _namespace = Namespace::new("unpullable")?;
    let image = format!("{}/no/such/image:1", LAB.registry);
    let inputs = [("namespace", "unpullable"), ("image", image.as_str())];
    refused(
        Runner::new()?,
        &inputs,
        "Image not pulled",
        &[&image, "the input `image`"],
    )
}

#[test]
fn storage_class_that_does_not_exist() -> Result<()> {
    let _namespace = Namespace::new("classless")?;
    let inputs = [
        ("namespace", "classless"),
        ("storage-class", "tape"),
        ("timeout", "5s"),
    ];
    refused(
        Runner::new()?,
        &inputs,
        "Agent not ready in time",
        &["volume bound", "tape", "StorageClass"],
    )
}

#[test]
fn kubeconfig_that_does_not_exist() -> Result<()> {
    let mut runner = Runner::new()?;
    let outcome = runner.connect_with(&[("kubeconfig", "nowhere/config")])?;
    check(
        &mut runner,
        &outcome,
        "Kubeconfig not usable",
        &["nowhere/config", "the input `kubeconfig`"],
    )
}

#[test]
fn no_buildx_on_the_runner() -> Result<()> {
    let mut runner = Runner::new()?;
    std::fs::remove_dir_all(runner.home.join(".docker"))?;
    // The lab's folder of programs holds buildx, and the machine may have it as a plugin of docker's.
    runner.env.insert("PATH".into(), "/nonexistent".into());
    let words = ["docker-buildx", "Install buildx"];
    refused(runner, &[], "No buildx on this runner", &words)
}
