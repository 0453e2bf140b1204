//! The lab's arm64 node looks like a real one to a build. Other tests cover what the program does with it.

use anyhow::{Context, Result, ensure};

use crate::support::{LAB, Namespace};

/// A pod that selects the arm64 node by its label and tolerates its taint.
const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: buildkit, namespace: NAMESPACE}
spec:
  nodeSelector: {kubernetes.io/arch: arm64}
  tolerations: [{key: kubernetes.io/arch, operator: Equal, value: arm64, effect: NoSchedule}]
  containers:
    - name: buildkitd
      image: docker.io/moby/buildkit:VERSION
      securityContext: {privileged: true}
      readinessProbe: {exec: {command: [buildctl, debug, workers]}, periodSeconds: 2, timeoutSeconds: 10}
      volumeMounts: [{name: cache, mountPath: /var/lib/buildkit}]
  volumes: [{name: cache, emptyDir: {}}]
"#;

const BUILD: &str = r#"
set -e
mkdir context
printf 'FROM REGISTRY/busybox\nRUN echo "machine: $(uname -m)"\n' > context/Dockerfile
buildctl build --progress plain --frontend dockerfile.v0 --local context=context --local dockerfile=context 2>&1
"#;

#[test]
fn arm64_node_builds_with_arm64_programs() -> Result<()> {
    let namespace = Namespace::new("arm64")?;
    namespace.apply(&POD.replace("VERSION", &format!("v{}", lab::versions::BUILDKIT)))?;
    let ready = namespace.kubectl(&["wait", "pod/buildkit", "--for=condition=Ready", "--timeout=300s"]);
    if let Err(error) = ready {
        let [state, log] = [
            ["describe", "pod", "buildkit"],
            ["logs", "pod/buildkit", "--tail=50"],
        ]
        .map(|what| {
            namespace
                .kubectl(&what)
                .unwrap_or_else(|error| format!("{error:#}"))
        });
        return Err(error.context(format!("{state}\n{log}")));
    }

    let pod = namespace.json(&["get", "pod", "buildkit"])?;
    let node = LAB.nodes.iter().find(|node| pod["spec"]["nodeName"] == node.name);
    ensure!(
        node.context("no such node")?.architecture == lab::Architecture::Arm64,
        "{pod}"
    );

    let exec = |command: &[&str]| namespace.kubectl(&[&["exec", "buildkit", "--"], command].concat());
    ensure!(exec(&["uname", "-m"])?.trim() == "aarch64");
    let workers = exec(&["buildctl", "debug", "workers"])?;
    ensure!(workers.contains("\tlinux/arm64"), "{workers}");
    let log = exec(&["sh", "-c", &BUILD.replace("REGISTRY", &LAB.registry)])?;
    ensure!(log.contains("machine: aarch64"), "{log}");
    Ok(())
}
