//! `manifests`, for GitOps.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::support::{LAB, Namespace, Runner, program, run};

fn kubectl_with_input(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new(LAB.bin.join("kubectl"))
        .arg("--kubeconfig")
        .arg(&LAB.admin_kubeconfig)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn printed_manifests_equal_what_connect_applies() -> Result<()> {
    let namespace = Namespace::new("gitops")?;
    // Without it, connect places the agent on the architecture of its machine, and manifests on any.
    let selector = format!("kubernetes.io/arch={}", LAB.nodes[0].architecture.name());
    let flags = [
        "--namespace",
        "gitops",
        "--node-selector",
        &selector,
        "--storage",
        "20Gi",
        "--cpu",
        "100m",
        "--memory",
        "1Gi",
    ];
    let yaml = run(Command::new(program()).arg("manifests").args(flags))?;
    kubectl_with_input(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &yaml)?;

    let inputs = [
        ("namespace", "gitops"),
        ("node-selector", selector.as_str()),
        ("storage", "20Gi"),
        ("cpu", "100m"),
        ("memory", "1Gi"),
    ];
    Runner::new()?.connect(&inputs)?.ok()?;
    // Applying them as the same field manager changes nothing that connect created.
    let before = namespace.json(&[
        "get",
        "deployment,configmap,pvc",
        "-l",
        "app=remote-buildkit-agent",
    ])?;
    let apply = [
        "apply",
        "--server-side",
        "--field-manager=remote-buildkit",
        "-f",
        "-",
    ];
    kubectl_with_input(&apply, &yaml)?;
    let after = namespace.json(&[
        "get",
        "deployment,configmap,pvc",
        "-l",
        "app=remote-buildkit-agent",
    ])?;
    let kept = |list: &serde_json::Value| -> Vec<_> {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items
            .into_iter()
            .map(|i| {
                (
                    i["kind"].clone(),
                    i["metadata"]["generation"].clone(),
                    i["spec"].clone(),
                    i["data"].clone(),
                )
            })
            .collect()
    };
    assert_eq!(kept(&after).len(), 3);
    assert_eq!(kept(&after), kept(&before));

    // The daemon has read the configuration: its first GC rule is the generated one.
    let pod = namespace.names("pod")?.first().cloned().context("no pod")?;
    let workers = namespace.kubectl(&[
        "exec",
        &pod,
        "--",
        "buildctl",
        "debug",
        "workers",
        "--format",
        "{{json .}}",
    ])?;
    let workers: serde_json::Value = serde_json::from_str(&workers)?;
    let policy = workers[0]["gcPolicy"].as_array().context("no policy")?;
    assert_eq!(policy.len(), 6);
    // The claim requests 20Gi. It had no volume yet when the configuration was generated, so the 60Gi of the lab's
    // volumes do not count. 7.5Gi of the 20Gi are the reserve.
    assert_eq!(policy[0]["maxUsedSpace"], 25_u64 << 29);
    Ok(())
}

/// The server accepts the printed manifests with every input set.
#[test]
fn server_accepts_manifests_with_every_input() -> Result<()> {
    let _namespace = Namespace::new("printed")?;
    let flags = [
        "--namespace=printed",
        "--rbac",
        "--platforms=linux/amd64,linux/arm64",
        "--agents=2",
        "--isolation=rootless",
        "--storage-class=gp3",
        "--cpu=500m",
        "--memory=1Gi",
        "--drain-timeout=30m",
        "--max-parallelism=4",
        "--registry-mirrors=mirror.example:5000",
        "--buildkitd-config=[worker.oci.labels]\nteam = 'a'\n",
        "--entitlements=network.host",
        "--node-selector=pool=builds",
        "--tolerations=dedicated=builds:NoSchedule",
        "--service-account=builder",
        "--labels=team=platform",
        "--annotations=example.com/note=a, b",
        "--patch=spec: {template: {spec: {priorityClassName: high}}}",
    ];
    let yaml = run(Command::new(program()).arg("manifests").args(flags))?;
    let kinds = |kind: &str| yaml.matches(&format!("\nkind: {kind}\n")).count();
    assert_eq!(
        ["Deployment", "ConfigMap", "PersistentVolumeClaim", "Role"].map(kinds),
        [4, 4, 4, 2]
    );
    kubectl_with_input(&["apply", "--server-side", "--dry-run=server", "-f", "-"], &yaml)
}
