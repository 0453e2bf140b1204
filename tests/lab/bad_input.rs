//! Invalid inputs and settings fail with an error that says what was tried, what came back and what to do, and leave
//! nothing behind.

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, RunnerSnapshot, role};

/// Checks that `connect` on the lab's cluster fails with this title and these words, and leaves nothing behind.
fn expect_failure(runner: Runner, inputs: &[(&str, &str)], title: &str, words: &[&str]) -> Result<()> {
    let role = role("ci");
    let usual = [
        ("cluster", LAB.cluster.as_str()),
        ("region", LAB.region.as_str()),
        ("role-to-assume", role.as_str()),
    ];
    expect_failure_with_only(runner, &[&usual, inputs].concat(), title, words)
}

/// Checks the same for `connect` with only these inputs.
fn expect_failure_with_only(
    mut runner: Runner,
    inputs: &[(&str, &str)],
    title: &str,
    words: &[&str],
) -> Result<()> {
    let before = RunnerSnapshot::take(&runner)?;
    let outcome = runner.step(runner.connect_command_with_only(inputs))?;
    outcome.expect_error(title, words)?;
    before.ensure_no_builder(&runner)?;
    runner.disconnect()?.ok()?;
    before.ensure_nothing_left(&runner)
}

#[test]
fn all_invalid_inputs_are_reported_at_once() -> Result<()> {
    expect_failure(
        Runner::new()?,
        &[
            ("storage", "lots"),
            ("name", "No_Name"),
            ("timeout", "soon"),
            ("memory", "8 Gi"),
        ],
        "Invalid input",
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
    expect_failure(
        Runner::new()?,
        &[("cluster", "nowhere")],
        "EKS cluster not found",
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
    expect_failure(
        Runner::new()?,
        &[("region", "us-west-2")],
        "EKS cluster not found",
        &["us-west-2", "Check `cluster` and `region`"],
    )
}

#[test]
fn role_cannot_be_assumed() -> Result<()> {
    expect_failure(
        Runner::new()?,
        &[("role-to-assume", &role("absent"))],
        "Cannot assume role",
        &[
            "role/absent",
            "repo:acme/shop:ref:refs/heads/main",
            "sts:AssumeRoleWithWebIdentity",
            "oidc-provider/token.actions.githubusercontent.com",
        ],
    )
}

#[test]
fn job_without_id_token_permission() -> Result<()> {
    let mut runner = Runner::new()?;
    runner.env.remove("ACTIONS_ID_TOKEN_REQUEST_URL");
    runner.env.remove("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
    let words = [
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "permissions: { id-token: write, contents: read }",
    ];
    expect_failure(runner, &[], "No OIDC token for this job", &words)
}

#[test]
fn no_aws_credentials() -> Result<()> {
    let inputs = [("cluster", LAB.cluster.as_str()), ("region", LAB.region.as_str())];
    let words = ["role-to-assume", "id-token: write"];
    expect_failure_with_only(Runner::new()?, &inputs, "No AWS credentials", &words)
}

#[test]
fn role_without_describe_cluster_permission() -> Result<()> {
    expect_failure(
        Runner::new()?,
        &[("role-to-assume", &role("ci-no-describe"))],
        "eks:DescribeCluster denied",
        &[
            "AccessDenied",
            "\"Action\": \"eks:DescribeCluster\"",
            "arn:aws:eks:eu-west-1:*:cluster/demo",
        ],
    )
}

#[test]
fn role_without_access_entry() -> Result<()> {
    expect_failure(
        Runner::new()?,
        &[("role-to-assume", &role("ci-no-entry"))],
        "Cluster rejected our identity (401)",
        &[
            "401",
            "aws eks create-access-entry",
            "--cluster-name demo",
            &role("ci-no-entry"),
        ],
    )
}

#[test]
fn role_without_rbac() -> Result<()> {
    expect_failure(
        Runner::new()?,
        &[("role-to-assume", &role("ci-no-rbac"))],
        "Cluster denied permission (403)",
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
fn namespace_does_not_exist() -> Result<()> {
    expect_failure(
        Runner::new()?,
        &[("namespace", "nowhere")],
        "Namespace not found",
        &[
            "namespaces \"nowhere\" not found",
            "`remote-buildkit setup`",
            "kubectl create namespace nowhere",
        ],
    )
}

#[test]
fn deploy_never_without_an_agent() -> Result<()> {
    let namespace = Namespace::new("never")?;
    let inputs = [("namespace", "never"), ("deploy", "never")];
    expect_failure(
        Runner::new()?,
        &inputs,
        "Agent not found",
        &[
            "The Deployment remote-buildkit-agent does not exist in the namespace never",
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
fn deployment_is_not_usable_by_buildx() -> Result<()> {
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
    expect_failure(
        Runner::new()?,
        &inputs,
        "Agent cannot be used",
        &["app=remote-buildkit-agent"],
    )
}

#[test]
fn image_cannot_be_pulled() -> Result<()> {
    let _namespace = Namespace::new("unpullable")?;
    let image = format!("{}/no/such/image:1", LAB.registry);
    let inputs = [("namespace", "unpullable"), ("image", image.as_str())];
    expect_failure(
        Runner::new()?,
        &inputs,
        "Image pull failed",
        &[&image, "the input `image`"],
    )
}

#[test]
fn kubeconfig_does_not_exist() -> Result<()> {
    let words = ["nowhere/config", "the input `kubeconfig`"];
    expect_failure_with_only(
        Runner::new()?,
        &[("kubeconfig", "nowhere/config")],
        "Kubeconfig cannot be used",
        &words,
    )
}

/// Returns a kubeconfig whose credential plugin runs this shell command.
fn kubeconfig_with_plugin(command: &str) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": LAB.api_server, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "u", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "/bin/sh", "args": ["-c", command]}}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(file.path(), config.to_string())?;
    Ok(file)
}

#[test]
fn credential_plugin_fails() -> Result<()> {
    let file = kubeconfig_with_plugin("echo printed-credential; echo not signed in >&2; exit 3")?;
    let path = file.path().to_string_lossy();
    let mut runner = Runner::new()?;
    let outcome = runner.step(runner.connect_command_with_only(&[("kubeconfig", &path)]))?;
    ensure!(!outcome.log.contains("printed-credential\n"), "{}", outcome.log);
    let words = ["exit status: 3", "not signed in", "on this runner"];
    outcome.expect_error("Credential plugin failed", &words)?;
    runner.disconnect()?.ok().map(drop)
}

/// The Kubernetes client waits for its plugin without a limit. The input `timeout` must still apply.
#[test]
fn credential_plugin_hangs() -> Result<()> {
    let file = kubeconfig_with_plugin("exec sleep 20")?;
    let path = file.path().to_string_lossy();
    let inputs = [("kubeconfig", path.as_ref()), ("timeout", "2s")];
    let start = std::time::Instant::now();
    expect_failure_with_only(
        Runner::new()?,
        &inputs,
        "Timed out",
        &["timeout of 2 s", "`timeout`"],
    )?;
    ensure!(start.elapsed().as_secs() < 15, "waited for the plugin");
    Ok(())
}

/// Corrected inputs reach an agent of an earlier connect that never became ready only with `deploy: always`.
#[test]
fn corrected_inputs_require_deploy_always() -> Result<()> {
    let _namespace = Namespace::new("stale")?;
    let image = format!("{}/no/such/image:1", LAB.registry);
    let bad = [("namespace", "stale"), ("image", image.as_str())];
    expect_failure(Runner::new()?, &bad, "Image pull failed", &[&image])?;
    let words = [
        "The agent existed already, so the inputs were not applied",
        "set `deploy: always` to apply them",
    ];
    expect_failure(
        Runner::new()?,
        &[("namespace", "stale")],
        "Image pull failed",
        &words,
    )?;
    let corrected = [("namespace", "stale"), ("deploy", "always")];
    Runner::new()?.connect(&corrected)?.ok()?;
    Ok(())
}

/// A ConfigMap with other keys: server-side apply would find no conflict, and `destroy` would later delete it.
#[test]
fn unmanaged_config_map_is_a_conflict() -> Result<()> {
    let namespace = Namespace::new("config")?;
    let create = [
        "create",
        "configmap",
        "remote-buildkit-agent",
        "--from-literal=theirs=precious",
    ];
    namespace.kubectl(&create)?;
    let inputs = [("namespace", "config")];
    let words = ["ConfigMap remote-buildkit-agent", "Choose another `name`"];
    expect_failure(Runner::new()?, &inputs, "Field manager conflict", &words)?;
    let config = namespace.json(&["get", "configmap", "remote-buildkit-agent"])?;
    ensure!(config["metadata"]["labels"].is_null(), "{config}");
    ensure!(namespace.names("deployment,pvc")?.is_empty(), "partial agent");
    Ok(())
}

/// The server rejects the request for a reason that no Role can fix.
#[test]
fn quota_rejects_the_claim() -> Result<()> {
    let namespace = Namespace::new("quota")?;
    namespace.kubectl(&["create", "quota", "none", "--hard=persistentvolumeclaims=0"])?;
    let inputs = [("namespace", "quota")];
    expect_failure(
        Runner::new()?,
        &inputs,
        "Cluster rejected the request",
        &["exceeded quota", "quota"],
    )?;
    ensure!(namespace.names("deployment")?.is_empty(), "partial agent");
    Ok(())
}

#[test]
fn quota_rejects_the_pod() -> Result<()> {
    let namespace = Namespace::new("podless")?;
    namespace.kubectl(&["create", "quota", "none", "--hard=pods=0"])?;
    let inputs = [("namespace", "podless"), ("timeout", "5s")];
    expect_failure(
        Runner::new()?,
        &inputs,
        "Agent not ready in time",
        &[
            "exceeded quota",
            "Correct what the message names: raise the quota of the namespace",
        ],
    )
}

#[test]
fn buildx_is_not_installed() -> Result<()> {
    let mut runner = Runner::new()?;
    std::fs::remove_dir_all(runner.home.join(".docker"))?;
    // The lab's bin directory contains buildx, and the machine may have it as a Docker CLI plugin.
    runner.env.insert("PATH".into(), "/nonexistent".into());
    let words = ["docker-buildx", "Install buildx"];
    expect_failure(
        runner,
        &[("buildx-version", "system")],
        "buildx not found",
        &words,
    )
}
