//! The objects of an agent, as server-side apply takes them: only the fields that are ours to say.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, ExecAction, PersistentVolumeClaim,
    PersistentVolumeClaimSpec, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SecurityContext, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::quantity::Bytes;
use super::{Spec, buildkitd};

/// Labels every object of ours carries; an agent without the second was made by somebody else.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "remote-buildkit");

/// Time for running builds to end after SIGTERM, during which buildkitd takes no new ones.
const DRAIN_SECONDS: i64 = 3600;

/// The configuration, for a volume of this size.
pub fn config_map(spec: &Spec, volume: Bytes) -> anyhow::Result<ConfigMap> {
    let toml = buildkitd::config(&buildkitd::Settings::default(), buildkitd::ROOT, volume)?;
    Ok(ConfigMap {
        metadata: metadata(spec),
        data: Some(BTreeMap::from([("buildkitd.toml".into(), toml)])),
        ..Default::default()
    })
}

/// The cache volume. ReadWriteOnce: buildkitd locks its root, and overlayfs cannot sit on NFS.
pub fn volume_claim(spec: &Spec) -> PersistentVolumeClaim {
    PersistentVolumeClaim {
        metadata: metadata(spec),
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: spec.storage_class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(quantities(&[("storage", Some(&spec.storage))])),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn deployment(spec: &Spec) -> Deployment {
    Deployment {
        metadata: metadata(spec),
        spec: Some(DeploymentSpec {
            // The volume and buildkitd's lock allow one pod; a rolling update would wait for it forever.
            replicas: Some(1),
            strategy: Some(DeploymentStrategy {
                type_: Some("Recreate".into()),
                ..Default::default()
            }),
            selector: LabelSelector {
                match_labels: Some(BTreeMap::from([app_label(spec)])),
                ..Default::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(spec)),
                    ..Default::default()
                }),
                spec: Some(pod(spec)),
            },
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn pod(spec: &Spec) -> PodSpec {
    PodSpec {
        // buildx talks to the first container.
        containers: vec![container(spec)],
        // A build could read the token of the pod's service account.
        automount_service_account_token: Some(false),
        termination_grace_period_seconds: Some(DRAIN_SECONDS),
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
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        ..Default::default()
    };
    Container {
        name: "buildkitd".into(),
        image: Some(spec.image.clone()),
        volume_mounts: Some(vec![
            mount("config", "/etc/buildkit"),
            mount("cache", buildkitd::ROOT),
        ]),
        // Every second until buildkitd first answers, so that a fresh agent is ready when it is; after that rarely.
        startup_probe: Some(probe(1, 120)),
        readiness_probe: Some(probe(15, 3)),
        resources: resources(spec),
        security_context: Some(SecurityContext {
            privileged: Some(true),
            ..Default::default()
        }),
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

fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(["buildctl", "debug", "workers"].map(Into::into).into()),
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(10),
        failure_threshold: Some(failures),
        ..Default::default()
    }
}

fn metadata(spec: &Spec) -> ObjectMeta {
    ObjectMeta {
        name: Some(spec.name.clone()),
        namespace: Some(spec.namespace.clone()),
        labels: Some(labels(spec)),
        ..Default::default()
    }
}

fn labels(spec: &Spec) -> BTreeMap<String, String> {
    BTreeMap::from([app_label(spec), (MANAGED_BY.0.into(), MANAGED_BY.1.into())])
}

/// buildx finds the pods of a node named NAME by the label `app=NAME`.
fn app_label(spec: &Spec) -> (String, String) {
    ("app".into(), spec.name.clone())
}

fn quantities(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, Quantity> {
    entries
        .iter()
        .filter_map(|(name, value)| Some(((*name).to_owned(), Quantity((*value)?.to_owned()))))
        .collect()
}

/// The objects as YAML documents, in the order connect applies them.
pub fn yaml(spec: &Spec) -> anyhow::Result<String> {
    let documents = [
        serde_saphyr::to_string(&config_map(spec, spec.storage_bytes)?),
        serde_saphyr::to_string(&volume_claim(spec)),
        serde_saphyr::to_string(&deployment(spec)),
    ];
    let documents: Result<Vec<String>, _> = documents.into_iter().collect();
    Ok(documents.context("writing the manifests as YAML")?.join("---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            name: "remote-buildkit-agent".into(),
            namespace: "default".into(),
            image: super::super::DEFAULT_IMAGE.into(),
            storage: "50Gi".into(),
            storage_bytes: Bytes(50 << 30),
            storage_class: None,
            cpu: None,
            memory: None,
        }
    }

    #[test]
    fn manifests_by_default() {
        insta::assert_snapshot!(yaml(&spec()).expect("yaml"));
    }

    #[test]
    fn sizes_and_storage_class_reach_their_fields() {
        let spec = Spec {
            storage_class: Some("gp3".into()),
            cpu: Some("4".into()),
            memory: Some("8Gi".into()),
            ..spec()
        };
        let claim = volume_claim(&spec).spec.expect("spec");
        assert_eq!(claim.storage_class_name.as_deref(), Some("gp3"));
        insta::assert_json_snapshot!(resources(&spec), @r#"
        {
          "limits": {
            "memory": "8Gi"
          },
          "requests": {
            "cpu": "4",
            "memory": "8Gi"
          }
        }
        "#);
    }
}
