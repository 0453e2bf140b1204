//! The input `patch` compared with a real API server: both apply a strategic merge patch with the same result.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use remote_buildkit_agent::patch::DeploymentPatch;
use serde_json::{Value, json};

use crate::support::{LAB, Namespace};

/// A Deployment with each kind of list and without a running pod.
const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: agent, namespace: NAMESPACE, labels: {app: agent, team: a}, finalizers: [example.com/a, example.com/b]}
spec:
  replicas: 0
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}, annotations: {note: old}}
    spec:
      initContainers:
      - {name: first, image: i}
      - {name: second, image: i}
      containers:
      - name: buildkitd
        image: moby/buildkit
        args: [--a, --b, --c]
        env: [{name: A, value: '1'}, {name: B, value: '2'}, {name: C, value: '3'}]
        ports: [{containerPort: 80}, {containerPort: 443, name: https}]
        resources: {requests: {cpu: 100m, memory: 1Gi}, limits: {memory: 1Gi}}
        securityContext: {privileged: true}
        volumeMounts: [{name: cache, mountPath: /cache}, {name: config, mountPath: /etc/buildkit}]
      - {name: sidecar, image: s}
      hostAliases: [{ip: 10.0.0.1, hostnames: [a, b]}]
      imagePullSecrets: [{name: one}]
      nodeSelector: {disk: nvme}
      tolerations: [{key: old, operator: Exists}]
      topologySpreadConstraints:
      - {topologyKey: zone, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: agent}}}
      volumes:
      - {name: cache, persistentVolumeClaim: {claimName: agent}}
      - {name: config, configMap: {name: agent}}
";

/// Patches of the Deployment.
const PATCHES: [&str; 8] = [
    "spec: {replicas: 2, minReadySeconds: 5}",
    "metadata: {labels: {team: null, tier: b}, annotations: {a: b}}",
    "metadata: {labels: {$patch: replace, app: agent, only: this}}",
    "metadata: {finalizers: [example.com/c, example.com/a]}",
    "metadata: {$deleteFromPrimitiveList/finalizers: [example.com/a]}",
    "spec: {strategy: {$retainKeys: [type], type: Recreate}}",
    "spec: {strategy: {type: Recreate, rollingUpdate: null}}",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: agent}\nspec: {template: {metadata: {annotations: {note: new}}}}",
];

/// Patches of the pod's spec.
const POD_PATCHES: [&str; 21] = [
    "containers: [{name: buildkitd, image: other}]",
    "containers: [{name: buildkitd, imagePullPolicy: null, resources: null, args: [--x]}]",
    "containers: [{name: buildkitd, $deleteFromPrimitiveList/args: [--a, --c]}]",
    "containers: [{name: buildkitd, resources: {$patch: replace, limits: {cpu: '2'}}}]",
    "containers: [{name: buildkitd, securityContext: {$patch: delete}}]",
    "containers: [{name: buildkitd, env: [{name: D, value: '4'}, {name: B, value: '5'}]}]",
    "containers: [{name: buildkitd, env: [{name: C, value: c}, {name: A, value: a}, {name: D, value: d}]}]",
    "containers: [{name: buildkitd, env: [{name: B, $patch: delete}, {name: E, value: e}]}]",
    "containers: [{name: buildkitd, env: [{$patch: replace}, {name: Z, value: z}]}]",
    "containers: [{name: buildkitd, env: [{name: A, value: null, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]}]",
    "containers: [{name: buildkitd, ports: [{containerPort: 443, protocol: UDP}, {containerPort: 53}]}]",
    "containers: [{name: buildkitd, volumeMounts: [{mountPath: /x, name: cache}, {mountPath: /cache, readOnly: true, name: cache}]}]",
    "containers: [{name: new, image: x}, {name: buildkitd, tty: true}]",
    "containers: [{name: sidecar, $patch: delete}]",
    "initContainers: [{name: third, image: i}, {name: second, image: j}]",
    "volumes: [{name: config, $retainKeys: [name, secret], secret: {secretName: s}}, {name: tmp, emptyDir: {}}]",
    "volumes: [{name: config, configMap: null, emptyDir: {sizeLimit: 1Gi}}]",
    "{hostAliases: [{ip: 10.0.0.1, hostnames: [c]}, {ip: 10.0.0.2, hostnames: [d]}], imagePullSecrets: [{name: two}, {name: one}]}",
    "{tolerations: [{key: new, operator: Exists}], nodeSelector: {disk: null, kubernetes.io/arch: arm64}}",
    "topologySpreadConstraints: [{topologyKey: host, maxSkew: 2, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}, {topologyKey: zone, maxSkew: 3}]",
    "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}, hostUsers: false}",
];

/// Patches of the pod's spec that both reject.
const INVALID: [&str; 4] = [
    "containers: [{image: other}]",
    "containers: [{name: buildkitd, $patch: merge}]",
    "volumes: [{name: config, $retainKeys: [name], secret: {secretName: s}}]",
    "securityContext: {$patch: remove}",
];

/// Returns the patch of the Deployment that applies this patch of the pod's spec.
fn pod_patch(patch: &str) -> Result<String> {
    let pod: Value = serde_saphyr::from_str(patch)?;
    Ok(json!({"spec": {"template": {"spec": pod}}}).to_string())
}

/// Returns the object that the server would store for this one.
fn replaced(object: &Value) -> Result<Value> {
    let mut child = Command::new(LAB.bin.join("kubectl"))
        .arg("--kubeconfig")
        .arg(&LAB.admin_kubeconfig)
        .args(["replace", "--dry-run=server", "-o", "json", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    stdin.write_all(object.to_string().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the server refuses {object}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns the fields that a patch can change, with buildkitd as the first container: the program puts it first, the
/// server does not.
fn comparable(mut object: Value) -> Result<Value> {
    let containers = object.pointer_mut("/spec/template/spec/containers");
    let containers = containers
        .and_then(Value::as_array_mut)
        .context("no containers")?;
    containers.sort_by_key(|container| container["name"] != "buildkitd");
    // Written by `kubectl replace`.
    let annotations = &mut object["metadata"]["annotations"];
    annotations["kubectl.kubernetes.io/last-applied-configuration"].take();
    Ok(json!({
        "labels": object["metadata"]["labels"],
        "annotations": object["metadata"]["annotations"],
        "finalizers": object["metadata"]["finalizers"],
        "spec": object["spec"],
    }))
}

#[test]
fn api_server_merges_patches_in_the_same_way() -> Result<()> {
    let namespace = Namespace::new("patch")?;
    namespace.apply(DEPLOYMENT)?;
    let differences = differences(&namespace);
    // No controller removes the finalizers, so they would block the deletion of the namespace.
    namespace.kubectl(&[
        "patch",
        "deployment",
        "agent",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ])?;
    assert_eq!(differences?, "");
    Ok(())
}

fn differences(namespace: &Namespace) -> Result<String> {
    let live = namespace.json(&["get", "deployment", "agent"])?;
    let arguments = [
        "patch",
        "deployment",
        "agent",
        "--type=strategic",
        "--dry-run=server",
        "-p",
    ];
    let server = |patch: &str| namespace.json(&[&arguments[..], &[patch]].concat());
    let ours = |patch: &str| DeploymentPatch::parse(patch).and_then(|parsed| parsed.apply(live.clone()));
    let mut differences = String::new();
    let patches = PATCHES.map(|patch| Ok(patch.to_owned()));
    for patch in patches.into_iter().chain(POD_PATCHES.map(pod_patch)) {
        let patch = patch?;
        let ours = ours(&patch).map_err(|error| anyhow::anyhow!("{patch}: {error}"))?;
        let (ours, theirs) = (comparable(replaced(&ours)?)?, comparable(server(&patch)?)?);
        if ours != theirs {
            differences += &format!("{patch}\nours   {ours}\ntheirs {theirs}\n");
        }
    }
    for patch in INVALID {
        let patch = pod_patch(patch)?;
        if ours(&patch).is_ok() || server(&patch).is_ok() {
            differences += &format!("{patch} is invalid, but accepted\n");
        }
    }
    Ok(differences)
}
