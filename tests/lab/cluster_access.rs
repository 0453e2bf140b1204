//! The other ways to access a cluster: a kubeconfig, a pod's service account, the default AWS credential chain.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::support::{LAB, Namespace, Runner, kubectl, output, program, run};

#[test]
fn user_kubeconfig_does_not_contact_aws() -> Result<()> {
    let _namespace = Namespace::new("kubeconfig")?;
    let mut runner = Runner::new()?;
    runner
        .env
        .insert("AWS_ENDPOINT_URL".into(), "http://127.0.0.1:9".into());
    let path = LAB.admin_kubeconfig.to_string_lossy();
    let before = std::fs::read(&LAB.admin_kubeconfig)?;
    let inputs = [
        ("kubeconfig", path.as_ref()),
        ("context", "lab"),
        ("namespace", "kubeconfig"),
    ];
    let connected = runner.step(runner.connect_command_with_only(&inputs))?.ok()?;
    ensure!(
        connected.outputs["kubeconfig"] != path,
        "the user's own file is handed on"
    );
    runner.build("RUN echo built")?;
    runner.disconnect()?.ok()?;
    assert_eq!(std::fs::read(&LAB.admin_kubeconfig)?, before);
    Ok(())
}

/// Runs connect with the files and variables of a pod, in its own mount namespace.
#[test]
fn service_account_of_a_pod() -> Result<()> {
    let namespace = Namespace::new("in-cluster")?;
    namespace.kubectl(&["create", "serviceaccount", "runner"])?;
    let account = "--serviceaccount=in-cluster:runner";
    namespace.kubectl(&["create", "rolebinding", "runner", "--clusterrole=admin", account])?;
    let token = namespace.kubectl(&["create", "token", "runner"])?;
    let config = kubectl(&[
        "config",
        "view",
        "--raw",
        "--flatten",
        "-o",
        "jsonpath={.clusters[0].cluster.certificate-authority-data}",
    ])?;
    let ca = run(Command::new("sh").args(["-c", &format!("echo {config} | base64 -d")]))?;
    let secrets = tempfile::tempdir()?;
    std::fs::write(secrets.path().join("token"), token.trim())?;
    std::fs::write(secrets.path().join("ca.crt"), ca)?;

    let mut runner = Runner::new()?;
    let address = LAB.api_server.trim_start_matches("https://");
    let (host, port) = address.rsplit_once(':').context("no port")?;
    // Only this process sees the tmpfs on /run, so the directory does not stay on this machine.
    let script = r#"mount -t tmpfs tmpfs /run && at=/var/run/secrets/kubernetes.io/serviceaccount && mkdir -p $at &&
        cp "$1"/* $at && "$2" connect && exec "$3" build --progress plain "$4""#;
    let context = tempfile::tempdir()?;
    let dockerfile = format!("FROM {}/busybox\nRUN echo built in a pod\n", LAB.registry);
    std::fs::write(context.path().join("Dockerfile"), dockerfile)?;
    let mut command = runner.command("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(secrets.path())
        .arg(program())
        .arg(LAB.bin.join("docker-buildx"))
        .arg(context.path())
        .envs([
            ("KUBERNETES_SERVICE_HOST", host),
            ("KUBERNETES_SERVICE_PORT", port),
        ])
        .envs([
            ("INPUT_KUBECONFIG", "in-cluster"),
            ("INPUT_NAMESPACE", "in-cluster"),
        ]);
    let outcome = runner.step(command)?.ok()?;
    ensure!(outcome.log.contains("built in a pod"), "{}", outcome.log);
    runner.disconnect()?.ok()?;
    Ok(())
}

#[test]
fn in_cluster_outside_a_pod_fails() -> Result<()> {
    let mut runner = Runner::new()?;
    let outcome = runner.step(runner.connect_command_with_only(&[("kubeconfig", "in-cluster")]))?;
    ensure!(
        outcome.code == Some(1) && outcome.log.contains("Not running in a pod"),
        "{}",
        outcome.log
    );
    Ok(())
}

/// Uses the keys that a step such as configure-aws-credentials exports.
#[test]
fn default_aws_credential_chain() -> Result<()> {
    let _namespace = Namespace::new("chain")?;
    let mut runner = Runner::new()?;
    runner.export_keys("ci")?;
    let inputs = [("cluster", LAB.cluster.as_str()), ("namespace", "chain")];
    let connected = runner.step(runner.connect_command_with_only(&inputs))?.ok()?;
    ensure!(
        connected.log.contains("default AWS credentials"),
        "{}",
        connected.log
    );
    runner.build("RUN echo built")?;
    Ok(())
}

/// Outside GitHub Actions the same binary is a command-line tool and prints no workflow commands.
#[test]
fn command_line_outside_actions() -> Result<()> {
    let _namespace = Namespace::new("laptop")?;
    let mut runner = Runner::new()?;
    runner
        .env
        .retain(|name, _| !name.starts_with("GITHUB_") && name != "RUNNER_TEMP");
    let runtime = runner.temp().to_string_lossy().into_owned();
    runner.env.insert("XDG_RUNTIME_DIR".into(), runtime);
    let mut command = runner.command(program());
    command
        .args(["connect", "--namespace", "laptop", "--kubeconfig"])
        .arg(&LAB.admin_kubeconfig);
    let log = run(&mut command)?;
    ensure!(!log.contains("::"), "a workflow command: {log}");
    // Without BUILDX_BUILDER, buildx uses the builder that connect selected.
    runner.build("RUN echo built")?;
    let undo = log
        .lines()
        .find_map(|l| l.strip_prefix("Undo with: remote-buildkit "));
    let mut command = runner.command(program());
    command.args(undo.context("no undo command")?.split(' '));
    run(&mut command)?;
    let left: Vec<_> = std::fs::read_dir(runner.home.join(".docker/buildx/instances"))?.collect();
    ensure!(left.is_empty(), "{left:?}");

    let mut command = runner.command(program());
    let again = output(command.args(["disconnect", "--builder", "own"]))?;
    ensure!(
        String::from_utf8_lossy(&again.stderr).contains("Builder not found"),
        "{again:?}"
    );
    Ok(())
}
