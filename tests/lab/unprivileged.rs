//! Agents made by hand that are not root on their node: they build, and find their cache again after a restart.

use anyhow::{Result, ensure};

use crate::support::{Namespace, Runner};

/// A Deployment as the product takes it over; POD is what differs.
const AGENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE, labels: {app: remote-buildkit-agent}}
spec:
  replicas: 1
  strategy: {type: Recreate}
  selector: {matchLabels: {app: remote-buildkit-agent}}
  template:
    metadata: {labels: {app: remote-buildkit-agent}}
    spec:
      volumes:
      - {name: cache, persistentVolumeClaim: {claimName: remote-buildkit-agent}}
POD
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE}
spec:
  resources: {requests: {storage: 5Gi}}
  accessModes: [ReadWriteOnce]
"#;

/// As in moby/buildkit's examples/kubernetes/deployment+service.userns.yaml.
const USER_NAMESPACE: &str = "
      hostUsers: false
      containers:
      - name: buildkitd
        image: docker.io/moby/buildkit:v0.34.2
        securityContext: {privileged: true}
        readinessProbe: {exec: {command: [buildctl, debug, workers]}, periodSeconds: 2}
        volumeMounts: [{name: cache, mountPath: /var/lib/buildkit}]
";

/// As in its deployment+service.rootless.yaml, with a volume that has to be made the user's. By fsGroup the volume's
/// root is set-gid, which folders inherit, those in an image too: BuildKit's own root is one that is not.
const ROOTLESS: &str = "
      securityContext: {fsGroup: 1000, fsGroupChangePolicy: OnRootMismatch}
      initContainers:
      - name: root
        image: docker.io/moby/buildkit:v0.34.2-rootless
        command: [sh, -c, mkdir -p root && chmod g-s root]
        workingDir: /home/user/.local/share/buildkit
        volumeMounts: [{name: cache, mountPath: /home/user/.local/share/buildkit}]
      containers:
      - name: buildkitd
        image: docker.io/moby/buildkit:v0.34.2-rootless
        args: [--oci-worker-no-process-sandbox, --root, /home/user/.local/share/buildkit/root]
        securityContext:
          runAsUser: 1000
          runAsGroup: 1000
          seccompProfile: {type: Unconfined}
          appArmorProfile: {type: Unconfined}
        readinessProbe: {exec: {command: [buildctl, debug, workers]}, periodSeconds: 2}
        volumeMounts: [{name: cache, mountPath: /home/user/.local/share/buildkit}]
";

/// A layer with a folder of another user's, a cache mount, and whose the host's users are.
fn build(namespace: &str, round: &str) -> Result<String> {
    let mut runner = Runner::new()?;
    runner
        .connect(&[("namespace", namespace), ("deploy", "never")])?
        .ok()?;
    runner.build(&format!(
        "RUN mkdir /folder && chown 500:600 /folder && echo folder: $(stat -c '%u:%g %a' /folder)\n\
         RUN --mount=type=cache,target=/cache echo {round} >> /cache/log; \
             echo mount: $(cat /cache/log); echo users: $(cat /proc/self/uid_map)"
    ))
}

fn builds_and_restarts(name: &str, pod: &str) -> Result<()> {
    let namespace = Namespace::new(name)?;
    namespace.apply(&AGENT.replace("POD", pod.trim_matches('\n')))?;
    let rollout = ["rollout", "status", "deployment/remote-buildkit-agent"];
    namespace.kubectl(&[&rollout, &["--timeout=120s"][..]].concat())?;

    let log = build(name, "one")?;
    ensure!(log.contains("folder: 500:600 755"), "{log}");
    ensure!(log.contains("mount: one"), "{log}");
    ensure!(log.contains("users: 0 "), "{log}");
    ensure!(
        !log.contains("users: 0 0 "),
        "root in a build is root on the node: {log}"
    );

    let selector = ["delete", "pod", "-l", "app=remote-buildkit-agent"];
    namespace.kubectl(&[&selector, &["--grace-period=1"][..]].concat())?;
    let log = build(name, "two")?;
    ensure!(log.contains("mount: one two"), "{log}");
    ensure!(log.contains("CACHED"), "{log}");
    Ok(())
}

#[test]
fn an_agent_in_a_user_namespace() -> Result<()> {
    builds_and_restarts("user-namespace", USER_NAMESPACE)
}

#[test]
fn a_rootless_agent() -> Result<()> {
    builds_and_restarts("rootless", ROOTLESS)
}
