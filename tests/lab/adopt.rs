//! An agent that was created by hand is used and left unchanged.

use anyhow::{Result, ensure};

use crate::support::{Namespace, Runner, kubectl_json};

/// An agent as users write it by hand: without this project's labels, with a deprecated GC key and the default
/// rollout strategy.
const BY_HAND: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE, labels: {app: remote-buildkit-agent}}
spec:
  replicas: 1
  selector: {matchLabels: {app: remote-buildkit-agent}}
  template:
    metadata: {labels: {app: remote-buildkit-agent}}
    spec:
      containers:
      - name: buildkitd
        image: moby/buildkit:buildx-stable-1
        volumeMounts:
        - {name: config, mountPath: /etc/buildkit}
        - {name: var-lib-buildkit, mountPath: /var/lib/buildkit}
        readinessProbe: {exec: {command: [buildctl, debug, workers]}}
        securityContext: {privileged: true}
      volumes:
      - {name: config, configMap: {name: remote-buildkit-agent}}
      - {name: var-lib-buildkit, persistentVolumeClaim: {claimName: remote-buildkit-agent}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE}
data:
  buildkitd.toml: |
    root = "/var/lib/buildkit"
    [worker.oci]
      gc = true
      gckeepstorage = 30000000000
    [[worker.oci.gcpolicy]]
      all = true
      keepBytes = 30000000000
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE}
spec:
  resources: {requests: {storage: 50Gi}}
  accessModes: [ReadWriteOnce]
"#;

/// Returns the complete objects, including status and `resourceVersion`, so that a comparison shows every write.
fn objects(namespace: &str) -> Result<Vec<serde_json::Value>> {
    let list = kubectl_json(&["-n", namespace, "get", "deployment,configmap,pvc"])?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let is_agents = |item: &serde_json::Value| item["metadata"]["name"] == "remote-buildkit-agent";
    Ok(items.into_iter().filter(is_agents).collect())
}

#[test]
fn agent_created_by_hand_is_used_and_not_changed() -> Result<()> {
    let namespace = Namespace::new("adopt")?;
    namespace.apply(BY_HAND)?;
    namespace.kubectl(&[
        "rollout",
        "status",
        "deployment/remote-buildkit-agent",
        "--timeout=120s",
    ])?;
    let before = objects("adopt")?;
    ensure!(before.len() == 3, "{before:?}");

    let mut runner = Runner::new()?;
    let instances = runner.home.join(".docker/buildx/instances");
    std::fs::create_dir_all(&instances)?;
    let by_hand = r#"{"Name":"remote-buildkit-agent","Driver":"kubernetes","Nodes":[{"Name":"remote-buildkit-agent","Endpoint":"kubernetes:///remote-buildkit-agent?deployment=&kubeconfig=","DriverOpts":{"namespace":"adopt"}}]}"#;
    std::fs::write(instances.join("remote-buildkit-agent"), by_hand)?;

    let connected = runner
        .connect(&[("namespace", "adopt"), ("storage", "7Gi")])?
        .ok()?;
    ensure!(
        connected
            .log
            .contains("created by other tools and left unchanged"),
        "{}",
        connected.log
    );
    runner.build("RUN echo built")?;
    runner.disconnect()?.ok()?;

    assert_eq!(objects("adopt")?, before);
    assert_eq!(
        std::fs::read_to_string(instances.join("remote-buildkit-agent"))?,
        by_hand
    );
    Ok(())
}
