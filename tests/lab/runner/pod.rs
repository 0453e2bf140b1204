//! Tests `runner` in a pod of the cluster, such as a runner of Actions Runner Controller: with a service account, as
//! an ordinary user, and without AWS.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::support::{BareMachine, LAB, Namespace, wait_for};

const SCRIPT: &str = r#"set -ex
export HOME=/home/runner PATH=/home/runner/.local/bin:/usr/local/bin:/usr/bin:/bin
cd /home/runner
/opt/remote-buildkit runner "$@"
/opt/remote-buildkit runner "$@"
cd work
docker build --progress plain .
docker build --progress plain .
/home/runner/.local/bin/remote-buildkit runner --remove
test ! -e /home/runner/.local/bin/remote-buildkit
test ! -e /home/runner/.config
"#;

#[test]
fn service_account_is_sufficient() -> Result<()> {
    let namespace = Namespace::new("pod")?;
    namespace.kubectl(&["create", "serviceaccount", "runner"])?;
    let account = "--serviceaccount=pod:runner";
    namespace.kubectl(&["create", "rolebinding", "runner", "--clusterrole=admin", account])?;
    let mut bare = BareMachine::new("pod")?;
    bare.cluster_flags = vec!["--kubeconfig=in-cluster".into()];
    bare.install_docker_cli()?;
    bare.repository("RUN echo built for a pod")?;
    bare.machine.write("/opt/job.sh", SCRIPT, 0o755)?;
    std::fs::create_dir_all(
        bare.machine
            .host_path("/run/secrets/kubernetes.io/serviceaccount"),
    )?;

    let server = LAB.api_server.trim_start_matches("https://");
    let (host, port) = server.rsplit_once(':').unwrap_or((server, "443"));
    let as_user = [
        "/usr/bin/setpriv",
        "--reuid",
        "1001",
        "--regid",
        "1001",
        "--init-groups",
        "/bin/sh",
        "/opt/job.sh",
    ];
    let mut command: Vec<String> = ["chroot", "/machine"]
        .into_iter()
        .chain(as_user)
        .map(str::to_owned)
        .collect();
    command.extend(bare.flags());
    let mut variables = vec![
        json!({"name": "KUBERNETES_SERVICE_HOST", "value": host}),
        json!({"name": "KUBERNETES_SERVICE_PORT", "value": port}),
    ];
    variables.extend(lab::NO_REQUESTS.map(|(name, value)| json!({"name": name, "value": value})));
    let path = |path: &str| json!({"path": path});
    let account = json!({"projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ], "defaultMode": 0o644}, "name": "account"});
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "runner", "namespace": namespace.0},
        "spec": {
            "serviceAccountName": "runner",
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "nodeSelector": {"kubernetes.io/hostname": LAB.nodes[0].name},
            "containers": [{
                "name": "runner",
                "image": "moby/buildkit:v0.34.2",
                "command": command,
                "env": variables,
                "volumeMounts": [
                    {"name": "machine", "mountPath": "/machine"},
                    {"name": "proc", "mountPath": "/machine/proc"},
                    {"name": "dev", "mountPath": "/machine/dev"},
                    {"name": "account", "mountPath": "/machine/run/secrets/kubernetes.io/serviceaccount"},
                ],
            }],
            "volumes": [
                {"name": "machine", "hostPath": path(&bare.machine.root().to_string_lossy())},
                {"name": "proc", "hostPath": path("/proc")},
                {"name": "dev", "hostPath": path("/dev")},
                account,
            ],
        },
    });
    namespace.apply(&pod.to_string())?;
    let mut phase = String::new();
    let ended = wait_for("the pod to end", || {
        phase = namespace.kubectl(&["get", "pod", "runner", "-o", "jsonpath={.status.phase}"])?;
        Ok(["Succeeded", "Failed"].contains(&phase.as_str()))
    });
    let log = namespace.kubectl(&["logs", "runner"])?;
    ended.with_context(|| log.clone())?;
    ensure!(phase == "Succeeded", "{log}");
    ensure!(log.contains("built for a pod") && log.contains("CACHED"), "{log}");
    ensure!(
        log.contains("installed as /home/runner/.docker/cli-plugins/docker-buildx"),
        "{log}"
    );
    ensure!(log.contains(": unchanged, for every job of this user"), "{log}");
    Ok(())
}
