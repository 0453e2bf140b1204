//! The pod of an agent.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, ExecAction, Lifecycle, LifecycleHandler,
    PersistentVolumeClaimVolumeSource, PodSpec, Probe, ResourceRequirements, Toleration, Volume, VolumeMount,
};

use super::{ARCH_LABEL, Spec, quantities};

/// Waits until no client is connected. After SIGTERM buildkitd rejects all further calls of running builds (gRPC's
/// GracefulStop), so it must get the signal only when no build runs. A client is an exec of `buildctl dial-stdio`; the
/// brackets keep the pattern from matching itself.
const WAIT_UNTIL_IDLE: &str = "while grep -qs 'dial-[s]tdio' /proc/[0-9]*/cmdline; do sleep 1; done";

/// Returns the spec of the pod.
pub(super) fn pod(spec: &Spec) -> PodSpec {
    PodSpec {
        // buildx connects to the first container.
        containers: vec![container(spec)],
        init_containers: Some(vec![prepare(spec)]),
        // A build could read the token of the service account.
        automount_service_account_token: Some(false),
        service_account_name: spec.service_account.clone(),
        termination_grace_period_seconds: i64::try_from(spec.drain.as_secs()).ok(),
        node_selector: node_selector(spec),
        tolerations: tolerations(spec),
        host_users: spec.isolation.host_users(),
        security_context: spec.isolation.pod_security_context(),
        volumes: Some(vec![
            Volume {
                name: "config".into(),
                config_map: Some(ConfigMapVolumeSource {
                    name: spec.name.clone(),
                    ..Default::default()
                }),
                ..Default::default()
            },
            Volume {
                name: "cache".into(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: spec.name.clone(),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ]),
        ..Default::default()
    }
}

fn container(spec: &Spec) -> Container {
    Container {
        name: "buildkitd".into(),
        image: Some(spec.image.clone()),
        args: spec.isolation.args(),
        volume_mounts: Some(vec![
            mount("config", spec.isolation.config_dir()),
            mount("cache", spec.isolation.mount_path()),
        ]),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(exec(&["sh", "-c", WAIT_UNTIL_IDLE])),
                ..Default::default()
            }),
            ..Default::default()
        }),
        // Every second until buildkitd first answers, so that a new agent is ready without delay; after that rarely, and with
        // a long timeout for a node whose cores are all busy with builds. Only the startup probe can restart the container,
        // when there are no builds yet: after ten minutes, in which buildkitd can open a large database.
        startup_probe: Some(probe(1, 10, 600)),
        readiness_probe: Some(probe(30, 30, 3)),
        // Puts the end of the log of a failed container into the status of the pod, for the error of connect.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        resources: resources(spec),
        security_context: Some(spec.isolation.container_security_context()),
        ..Default::default()
    }
}

/// Returns the init container, which creates buildkitd's root directory and waits for its lock: a deleted pod holds it until
/// its builds have ended. Without it, the successor on the same node would crash and be restarted with growing delays.
fn prepare(spec: &Spec) -> Container {
    let root = spec.isolation.root();
    let script = format!("mkdir -p {root} && chmod g-s {root} && flock {root}/buildkitd.lock true");
    Container {
        name: "prepare".into(),
        image: Some(spec.image.clone()),
        command: Some(["sh", "-c", &script].map(Into::into).into()),
        volume_mounts: Some(vec![mount("cache", spec.isolation.mount_path())]),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        // A quota requires them for every container. Init containers run before the others, so the pod needs no more.
        resources: resources(spec),
        // With SELinux, files get the label of the container that creates them.
        security_context: Some(spec.isolation.container_security_context()),
        ..Default::default()
    }
}

fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        ..Default::default()
    }
}

/// Returns the resources of a container. Builds may use idle CPU, so it has no limit. Memory has one if the inputs name it,
/// so that a build is killed and not the node.
fn resources(spec: &Spec) -> Option<ResourceRequirements> {
    let requests = quantities(&[("cpu", spec.cpu.as_deref()), ("memory", spec.memory.as_deref())]);
    let limits = quantities(&[("memory", spec.memory_limit.as_deref())]);
    if requests.is_empty() && limits.is_empty() {
        return None;
    }
    Some(ResourceRequirements {
        requests: (!requests.is_empty()).then_some(requests),
        limits: (!limits.is_empty()).then_some(limits),
        ..Default::default()
    })
}

/// Returns the node selector: the input `node-selector` and the architecture of the agent. The input may name another
/// architecture than the default one.
fn node_selector(spec: &Spec) -> Option<BTreeMap<String, String>> {
    let label = |arch: &String| (ARCH_LABEL.to_owned(), arch.clone());
    let mut selector: BTreeMap<_, _> = spec.default_arch.iter().map(label).collect();
    selector.extend(spec.node_selector.clone());
    selector.extend(spec.arch.iter().map(label));
    (!selector.is_empty()).then_some(selector)
}

fn tolerations(spec: &Spec) -> Option<Vec<Toleration>> {
    let tolerations = spec.tolerations.iter().map(|taint| Toleration {
        key: Some(taint.key.clone()),
        operator: Some(if taint.value.is_some() { "Equal" } else { "Exists" }.into()),
        value: taint.value.clone(),
        effect: taint.effect.clone(),
        ..Default::default()
    });
    let tolerations: Vec<_> = tolerations.collect();
    (!tolerations.is_empty()).then_some(tolerations)
}

fn probe(period: i32, timeout: i32, failures: i32) -> Probe {
    Probe {
        exec: Some(exec(&["buildctl", "debug", "workers"])),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Default::default()
    }
}

fn exec(command: &[&str]) -> ExecAction {
    ExecAction {
        command: Some(command.iter().map(ToString::to_string).collect()),
    }
}
