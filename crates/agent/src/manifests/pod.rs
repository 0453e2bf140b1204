//! The pod: buildkitd, its volume, its configuration.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, ExecAction, Lifecycle, LifecycleHandler,
    PersistentVolumeClaimVolumeSource, PodSpec, Probe, ResourceRequirements, Toleration, Volume, VolumeMount,
};

use super::{ARCH_LABEL, Spec, quantities};

/// Ends when no client is connected. buildkitd takes SIGTERM for a reason to refuse whatever a running build asks next
/// (gRPC's GracefulStop), so it shall get it when there is no build. A client is an exec of `buildctl dial-stdio`; the
/// brackets keep the pattern from finding itself.
const UNTIL_IDLE: &str = "while grep -qs 'dial-[s]tdio' /proc/[0-9]*/cmdline; do sleep 1; done";

pub(super) fn pod(spec: &Spec) -> PodSpec {
    PodSpec {
        // buildx talks to the first container.
        containers: vec![container(spec)],
        init_containers: Some(vec![prepare(spec)]),
        // A build could read the token of the pod's service account.
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
                exec: Some(exec(&["sh", "-c", UNTIL_IDLE])),
                ..Default::default()
            }),
            ..Default::default()
        }),
        // Every second until buildkitd first answers, so that a fresh agent is ready when it is; after that rarely, and
        // with patience for a node whose every core builds. Only the first may end the container, and there are no
        // builds then: it has ten minutes, to open a large database.
        startup_probe: Some(probe(1, 10, 600)),
        readiness_probe: Some(probe(30, 30, 3)),
        // What it said last is then in the pod's status, for whoever waits for it.
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        resources: resources(spec),
        security_context: Some(spec.isolation.container_security_context()),
        ..Default::default()
    }
}

/// Makes buildkitd's folder, and waits for its lock: a pod that was deleted holds it until its builds have ended.
/// Without, its successor on the same node would crash and be restarted at ever longer intervals.
fn prepare(spec: &Spec) -> Container {
    let root = spec.isolation.root();
    let script = format!("mkdir -p {root} && chmod g-s {root} && flock {root}/buildkitd.lock true");
    Container {
        name: "prepare".into(),
        image: Some(spec.image.clone()),
        command: Some(["sh", "-c", &script].map(Into::into).into()),
        volume_mounts: Some(vec![mount("cache", spec.isolation.mount_path())]),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        // A quota wants them of every container; they come one after the other, so the pod needs no more.
        resources: resources(spec),
        // With SELinux, files have the label of the container that made them.
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

/// A build may use the CPU that others leave; memory has a limit, so that a build is killed rather than the node.
fn resources(spec: &Spec) -> Option<ResourceRequirements> {
    let (cpu, memory) = (spec.cpu.as_deref(), spec.memory.as_deref());
    cpu.or(memory)?;
    Some(ResourceRequirements {
        requests: Some(quantities(&[("cpu", cpu), ("memory", memory)])),
        limits: memory.map(|memory| quantities(&[("memory", Some(memory))])),
        ..Default::default()
    })
}

/// On nodes of its architecture, and of those where the inputs say.
fn node_selector(spec: &Spec) -> Option<BTreeMap<String, String>> {
    let arch = spec.arch.clone().map(|arch| (ARCH_LABEL.into(), arch));
    let selector: BTreeMap<_, _> = spec.node_selector.clone().into_iter().chain(arch).collect();
    (!selector.is_empty()).then_some(selector)
}

fn tolerations(spec: &Spec) -> Option<Vec<Toleration>> {
    let tolerated = spec.tolerations.iter().map(|taint| Toleration {
        key: Some(taint.key.clone()),
        operator: Some(if taint.value.is_some() { "Equal" } else { "Exists" }.into()),
        value: taint.value.clone(),
        effect: taint.effect.clone(),
        ..Default::default()
    });
    let tolerated: Vec<_> = tolerated.collect();
    (!tolerated.is_empty()).then_some(tolerated)
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
