//! What cannot work says so in a paragraph: what was tried, what came back, what to do. And nothing is left.

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, RunnerSnapshot, role};

/// `connect` on the lab's cluster has to fail with this title and these words, and leave nothing behind.
fn refused(runner: Runner, inputs: &[(&str, &str)], title: &str, words: &[&str]) -> Result<()> {
    let role = role("ci");
    let usual = [
        ("cluster", LAB.cluster.as_str()),
        ("region", LAB.region.as_str()),
        ("role-to-assume", role.as_str()),
    ];
    refused_with(runner, &[&usual, inputs].concat(), title, words)
}

/// The same with these inputs alone.
fn refused_with(mut runner: Runner, inputs: &[(&str, &str)], title: &str, words: &[&str]) -> Result<()> {
    let before = RunnerSnapshot::take(&runner)?;
    let outcome = runner.connect_with_only(inputs)?;
    outcome.expect_error(title, words)?;
    before.ensure_no_builder(&runner)?;
    runner.disconnect()?.ok()?;
    before.ensure_nothing_left(&runner)
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
    refused(
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
    refused(
        Runner::new()?,
        &[("region", "us-west-2")],
        "EKS cluster not found",
        &["us-west-2", "Check `cluster` and `region`"],
    )
}

#[test]
fn role_that_may_not_be_assumed() -> Result<()> {
    refused(
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
    let inputs = [("cluster", LAB.cluster.as_str()), ("region", LAB.region.as_str())];
    let words = ["role-to-assume", "id-token: write"];
    refused_with(Runner::new()?, &inputs, "No AWS credentials", &words)
}

#[test]
fn no_permission_to_describe() -> Result<()> {
    refused(
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
fn no_access_entry() -> Result<()> {
    refused(
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
fn no_rbac() -> Result<()> {
    refused(
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
fn namespace_that_does_not_exist() -> Result<()> {
    refused(
        Runner::new()?,
        &[("namespace", "nowhere")],
        "Namespace not found",
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
        "Agent cannot be used",
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
        "Image pull failed",
        &[&image, "the input `image`"],
    )
}

#[test]
fn kubeconfig_that_does_not_exist() -> Result<()> {
    let words = ["nowhere/config", "the input `kubeconfig`"];
    refused_with(
        Runner::new()?,
        &[("kubeconfig", "nowhere/config")],
        "Kubeconfig cannot be used",
        &words,
    )
}

/// A kubeconfig whose plugin is this shell command.
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
fn plugin_of_a_kubeconfig_that_fails() -> Result<()> {
    let file = kubeconfig_with_plugin("echo printed-credential; echo not signed in >&2; exit 3")?;
    let path = file.path().to_string_lossy();
    let mut runner = Runner::new()?;
    let outcome = runner.connect_with_only(&[("kubeconfig", &path)])?;
    ensure!(!outcome.log.contains("printed-credential\n"), "{}", outcome.log);
    let words = ["exit status: 3", "not signed in", "on this runner"];
    outcome.expect_error("Credential plugin failed", &words)?;
    runner.disconnect()?.ok().map(drop)
}

/// The client waits for its plugin without an end; the timeout holds all the same.
#[test]
fn plugin_of_a_kubeconfig_that_hangs() -> Result<()> {
    let file = kubeconfig_with_plugin("exec sleep 20")?;
    let path = file.path().to_string_lossy();
    let inputs = [("kubeconfig", path.as_ref()), ("timeout", "2s")];
    let start = std::time::Instant::now();
    refused_with(
        Runner::new()?,
        &inputs,
        "Timed out",
        &["timeout of 2 s", "`timeout`"],
    )?;
    ensure!(start.elapsed().as_secs() < 15, "waited for the plugin");
    Ok(())
}

/// An agent of an earlier connect that never became ready, and better inputs.
#[test]
fn inputs_that_do_not_reach_an_agent_that_is_there() -> Result<()> {
    let _namespace = Namespace::new("stale")?;
    let image = format!("{}/no/such/image:1", LAB.registry);
    let bad = [("namespace", "stale"), ("image", image.as_str())];
    refused(Runner::new()?, &bad, "Image pull failed", &[&image])?;
    let words = [
        "inputs are applied to an existing agent",
        "only with `deploy: always`",
    ];
    refused(
        Runner::new()?,
        &[("namespace", "stale")],
        "Image pull failed",
        &words,
    )?;
    let mended = [("namespace", "stale"), ("deploy", "always")];
    Runner::new()?.connect(&mended)?.ok()?;
    Ok(())
}

/// With other keys than ours, server-side apply would find no conflict, and `destroy` would delete it.
#[test]
fn a_config_map_of_somebody_else() -> Result<()> {
    let namespace = Namespace::new("config")?;
    let theirs = [
        "create",
        "configmap",
        "remote-buildkit-agent",
        "--from-literal=theirs=precious",
    ];
    namespace.kubectl(&theirs)?;
    let inputs = [("namespace", "config")];
    let words = ["ConfigMap remote-buildkit-agent", "Choose another `name`"];
    refused(Runner::new()?, &inputs, "Field manager conflict", &words)?;
    let config = namespace.json(&["get", "configmap", "remote-buildkit-agent"])?;
    ensure!(config["metadata"]["labels"].is_null(), "{config}");
    ensure!(namespace.names("deployment,pvc")?.is_empty(), "half an agent");
    Ok(())
}

/// A refusal of the server's that no Role would mend.
#[test]
fn quota_of_the_namespace() -> Result<()> {
    let namespace = Namespace::new("quota")?;
    namespace.kubectl(&["create", "quota", "none", "--hard=persistentvolumeclaims=0"])?;
    let inputs = [("namespace", "quota")];
    refused(
        Runner::new()?,
        &inputs,
        "Cluster rejected the request",
        &["exceeded quota", "quota"],
    )?;
    ensure!(namespace.names("deployment")?.is_empty(), "half an agent");
    Ok(())
}

#[test]
fn pods_that_may_not_be_made() -> Result<()> {
    let namespace = Namespace::new("podless")?;
    namespace.kubectl(&["create", "quota", "none", "--hard=pods=0"])?;
    let inputs = [("namespace", "podless"), ("timeout", "5s")];
    refused(
        Runner::new()?,
        &inputs,
        "Agent not ready in time",
        &[
            "exceeded quota",
            "Check what the message names: a quota of the namespace",
        ],
    )
}

#[test]
fn no_buildx_on_the_runner() -> Result<()> {
    let mut runner = Runner::new()?;
    std::fs::remove_dir_all(runner.home.join(".docker"))?;
    // The lab's folder of programs holds buildx, and the machine may have it as a plugin of docker's.
    runner.env.insert("PATH".into(), "/nonexistent".into());
    let words = ["docker-buildx", "Install buildx"];
    refused(runner, &[], "buildx not found", &words)
}
