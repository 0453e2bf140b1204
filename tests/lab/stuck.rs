//! connect gives up on an agent that cannot become ready as soon as the cluster reports why, long before the timeout.
//! The error title shows which it was: at the timeout it is a different one.

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Outcome, Runner, RunnerSnapshot, kubectl};

/// Runs `connect` with these inputs in this namespace, and checks that a failure leaves nothing on the runner.
fn connect(namespace: &str, inputs: &[(&str, &str)]) -> Result<Outcome> {
    let namespace = [("namespace", namespace)];
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let outcome = runner.connect(&[&namespace, inputs].concat())?;
    if outcome.code != Some(0) {
        ensure!(outcome.outputs.is_empty(), "outputs: {:?}", outcome.outputs);
        before.ensure_unchanged(&runner)?;
    }
    Ok(outcome)
}

/// Returns an agent as users write it by hand, with these additions to its pod and its container, and these objects.
fn by_hand(pod: &str, container: &str, objects: &str) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: remote-buildkit-agent, namespace: NAMESPACE, labels: {{app: remote-buildkit-agent}}}}
spec:
  strategy: {{type: Recreate}}
  selector: {{matchLabels: {{app: remote-buildkit-agent}}}}
  template:
    metadata: {{labels: {{app: remote-buildkit-agent}}}}
    spec:
      {pod}
      containers:
      - name: buildkitd
        image: moby/buildkit:v0.34.2
        terminationMessagePolicy: FallbackToLogsOnError
        readinessProbe: {{exec: {{command: [buildctl, debug, workers]}}, periodSeconds: 1}}
        securityContext: {{privileged: true}}
        {container}
---
{objects}
"#
    )
}

const VOLUME: &str = "volumes: [{name: cache, persistentVolumeClaim: {claimName: remote-buildkit-agent}}]";
const CACHE: &str = "volumeMounts: [{name: cache, mountPath: /var/lib/buildkit}]";
const CONFIGURATION: &str = "volumes: [{name: config, configMap: {name: remote-buildkit-agent}}]";
const CONFIG: &str = "volumeMounts: [{name: config, mountPath: /etc/buildkit}]";

fn claim(class: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: remote-buildkit-agent, namespace: NAMESPACE}}
spec: {{{class} accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"#
    )
}

#[test]
fn storage_class_does_not_exist() -> Result<()> {
    let _namespace = Namespace::new("stuck-class")?;
    let outcome = connect("stuck-class", &[("storage-class", "tape")])?;
    let words = [
        "ProvisioningFailed: storageclass.storage.k8s.io \"tape\" not found",
        "the input `storage-class`",
        "kubectl -n stuck-class delete deployment,pvc remote-buildkit-agent",
    ];
    outcome.expect_error("Cannot provision the volume", &words)
}

#[test]
fn no_default_storage_class() -> Result<()> {
    let namespace = Namespace::new("stuck-default")?;
    // As a claim without a StorageClass in a cluster without a default one.
    namespace.apply(&by_hand(VOLUME, CACHE, &claim("storageClassName: \"\",")))?;
    let outcome = connect("stuck-default", &[])?;
    let words = [
        "no persistent volumes available for this claim and no storage class is set",
        "is-default-class=true",
        "`storage-class: remote-buildkit`",
    ];
    outcome.expect_error("Cannot provision the volume", &words)
}

/// connect gives an autoscaler a minute and a half to react, so these cases run in parallel.
#[test]
fn no_node_fits() -> Result<()> {
    let cases = [
        selector_that_matches_no_node,
        more_than_any_node_has,
        volume_in_another_zone,
        connect_waits_for_an_announced_node,
    ];
    std::thread::scope(|threads| {
        // The name of the thread says for which test the seconds are recorded.
        let test = std::thread::current().name().map(str::to_owned);
        let builder = || std::thread::Builder::new().name(test.clone().unwrap_or_default());
        let cases = cases.map(|case| builder().spawn_scoped(threads, case));
        let results = cases.map(|case| case?.join().expect("a case does not panic"));
        results.into_iter().collect()
    })
}

fn selector_that_matches_no_node() -> Result<()> {
    let _namespace = Namespace::new("stuck-selector")?;
    let outcome = connect("stuck-selector", &[("node-selector", "disk=floppy")])?;
    let words = [
        "node(s) didn't match Pod's node affinity/selector",
        "; no autoscaler has announced a new node",
        "the input `node-selector`",
    ];
    outcome.expect_error("No node fits the agent", &words)
}

fn more_than_any_node_has() -> Result<()> {
    let _namespace = Namespace::new("stuck-cpu")?;
    let outcome = connect("stuck-cpu", &[("cpu", "640")])?;
    let words = [
        "Insufficient cpu",
        "the inputs `cpu` and `memory`",
        "no node is large enough",
    ];
    outcome.expect_error("No node fits the agent", &words)
}

/// The node of an agent that had one may come back, unless an autoscaler reports that it adds none.
fn volume_in_another_zone() -> Result<()> {
    let namespace = Namespace::new("stuck-zone")?;
    let volume = r#"
apiVersion: v1
kind: PersistentVolume
metadata: {name: stuck-zone}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: stuck-zone
  hostPath: {path: /nonexistent}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [eu-west-1z]}]
---
"#;
    let objects = format!(
        "{volume}{}",
        claim("storageClassName: stuck-zone, volumeName: stuck-zone,")
    );
    namespace.apply(&by_hand(VOLUME, CACHE, &objects))?;
    let message = "pod didn't trigger scale-up: 1 max node group size reached";
    create_autoscaler_event(&namespace, "NotTriggerScaleUp", message)?;
    let outcome = connect("stuck-zone", &[])?;
    kubectl(&["delete", "pv", "stuck-zone", "--wait=false"])?;
    let words = [
        "node(s) didn't match PersistentVolume's node affinity",
        message,
        "Add a node in the zone of the volume with the cache",
    ];
    outcome.expect_error("No node fits the agent", &words)
}

fn connect_waits_for_an_announced_node() -> Result<()> {
    let namespace = Namespace::new("stuck-scaled")?;
    namespace.apply(&by_hand("nodeSelector: {disk: floppy}", "", ""))?;
    let message = "pod triggered scale-up: [{group 0->1}]";
    create_autoscaler_event(&namespace, "TriggeredScaleUp", message)?;
    // Longer than the grace period in a cluster without such an event.
    let outcome = connect("stuck-scaled", &[("timeout", "100s")])?;
    let words = ["Waiting for: the volume to be bound", "the input `node-selector`"];
    outcome.expect_error("Agent not ready in time", &words)
}

/// Creates the event that an autoscaler records for the pod of an agent that fits no node.
fn create_autoscaler_event(namespace: &Namespace, reason: &str, message: &str) -> Result<()> {
    // The ReplicaSet and the pod of the Deployment are created a moment later.
    let deployment = "deployment/remote-buildkit-agent";
    namespace.kubectl(&[
        "wait",
        deployment,
        "--for=jsonpath={.status.replicas}=1",
        "--timeout=60s",
    ])?;
    let pods = namespace.names("pod")?;
    let pod = pods.first().context("no pod")?;
    namespace.apply(&format!(
        r#"
apiVersion: v1
kind: Event
metadata: {{name: autoscaler, namespace: NAMESPACE}}
involvedObject: {{kind: Pod, name: {pod}, namespace: NAMESPACE}}
source: {{component: cluster-autoscaler}}
type: Normal
reason: {reason}
message: "{message}"
"#
    ))
}

#[test]
fn service_account_does_not_exist() -> Result<()> {
    let _namespace = Namespace::new("stuck-account")?;
    let outcome = connect("stuck-account", &[("service-account", "nobody")])?;
    let words = [
        "FailedCreate: Error creating: pods",
        "serviceaccount \"nobody\" not found",
        "create the service account of `service-account`",
    ];
    outcome.expect_error("Cannot create the pod", &words)
}

#[test]
fn config_map_does_not_exist() -> Result<()> {
    let namespace = Namespace::new("stuck-mount")?;
    namespace.apply(&by_hand(CONFIGURATION, CONFIG, ""))?;
    let outcome = connect("stuck-mount", &[])?;
    let words = ["FailedMount", "configmap \"remote-buildkit-agent\" not found"];
    outcome.expect_error("Cannot mount a volume", &words)
}

#[test]
fn buildkitd_rejects_its_configuration() -> Result<()> {
    let namespace = Namespace::new("stuck-config")?;
    let bad = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE}
data: {buildkitd.toml: "[worker.oci"}
"#;
    namespace.apply(&by_hand(CONFIGURATION, CONFIG, bad))?;
    let outcome = connect("stuck-config", &[])?;
    let words = ["The end of its log:%0Atoml: expected ']' to close table name%0Afailed to parse config%0A"];
    outcome.expect_error("Agent keeps crashing", &words)
}

/// buildkitd exits at once while another buildkitd holds the lock of its root directory. That is transient, even if it
/// happens often.
#[test]
fn connect_waits_for_a_predecessor_with_the_lock() -> Result<()> {
    let namespace = Namespace::new("stuck-lock")?;
    let holder = r#"
apiVersion: v1
kind: Pod
metadata: {name: holder, namespace: NAMESPACE}
spec:
  VOLUME
  containers:
  - name: buildkitd
    image: moby/buildkit:v0.34.2
    readinessProbe: {exec: {command: [buildctl, debug, workers]}, periodSeconds: 1}
    securityContext: {privileged: true}
    CACHE
---
"#;
    let holder = holder.replace("VOLUME", VOLUME).replace("CACHE", CACHE);
    namespace.apply(&format!("{holder}{}", claim("")))?;
    namespace.kubectl(&["wait", "pod/holder", "--for=condition=Ready", "--timeout=60s"])?;
    namespace.apply(&by_hand(VOLUME, CACHE, ""))?;
    std::thread::scope(|threads| {
        let connected = threads.spawn(|| connect("stuck-lock", &[]));
        // Two restarts: the container has crashed twice.
        namespace.kubectl(&[
            "wait",
            "pod",
            "--selector=app=remote-buildkit-agent",
            "--for=jsonpath={.status.containerStatuses[0].restartCount}=2",
            "--timeout=90s",
        ])?;
        namespace.kubectl(&["delete", "pod", "holder", "--grace-period=1"])?;
        let connected = connected.join().expect("connect does not panic")?.ok()?;
        ensure!(connected.log.contains("is ready"), "{}", connected.log);
        Ok(())
    })
}
