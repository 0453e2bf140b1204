//! What the Kubernetes objects of an agent mean.

use std::fmt;

pub use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use serde_json::Value;

use super::manifests::{APP, ARCH_LABEL, INSTANCE, MANAGED_BY, VOLUME_SIZE};
use super::quantity::Bytes;

/// Why buildx cannot use a Deployment as an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentUnusable {
    /// The pods lack the label `app` with the name of the Deployment.
    MissingLabel {
        name: String,
    },
    ScaledToZero,
}

impl fmt::Display for AgentUnusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingLabel { name } => {
                write!(
                    f,
                    "its pods lack the label {APP}={name}, by which buildx finds them"
                )
            }
            Self::ScaledToZero => f.write_str("it is scaled to 0 replicas"),
        }
    }
}

impl std::error::Error for AgentUnusable {}

/// Checks whether buildx can use this Deployment as a node of its name.
pub fn check_usable(deployment: &Deployment) -> Result<(), AgentUnusable> {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let spec = deployment.spec.clone().unwrap_or_default();
    let template_labels = spec.template.metadata.and_then(|m| m.labels);
    if template_labels.and_then(|l| l.get(APP).cloned()).as_deref() != Some(name) {
        let name = name.to_owned();
        return Err(AgentUnusable::MissingLabel { name });
    }
    if replicas(deployment) == 0 {
        return Err(AgentUnusable::ScaledToZero);
    }
    Ok(())
}

/// Returns whether this program created the object.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels.and_then(|l| l.get(MANAGED_BY.0)).map(String::as_str) == Some(MANAGED_BY.1)
}

/// Returns the input `name` with which this program created the object.
pub fn instance(metadata: &ObjectMeta) -> Option<&str> {
    let labels = metadata.labels.as_ref()?;
    labels.get(INSTANCE).map(String::as_str)
}

/// Returns the size of the volume for which buildkitd is configured.
pub fn configured_volume_size(deployment: &Deployment) -> Option<Bytes> {
    let template = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    let bytes = template.annotations.as_ref()?.get(VOLUME_SIZE)?;
    bytes.parse().ok().map(Bytes)
}

/// Returns the desired number of pods.
pub fn replicas(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|s| s.replicas).unwrap_or(1)
}

/// Returns the architecture that the node selector of a Deployment requires.
pub fn required_arch(deployment: &Deployment) -> Option<&str> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    pod.node_selector.as_ref()?.get(ARCH_LABEL).map(String::as_str)
}

/// Returns whether the cache is on a volume that outlives a pod.
pub fn has_volume(deployment: &Deployment) -> bool {
    let spec = deployment.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    let volumes = spec.and_then(|s| s.volumes.as_ref()).into_iter().flatten();
    volumes
        .into_iter()
        .any(|v| v.persistent_volume_claim.is_some() || v.host_path.is_some())
}

/// Returns the name of the claim of its volume.
pub fn claim_name(deployment: &Deployment) -> Option<&str> {
    let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let mut volumes = spec.volumes.iter().flatten();
    let claim = volumes.find_map(|volume| volume.persistent_volume_claim.as_ref())?;
    Some(&claim.claim_name)
}

/// Returns the name of the container to which buildx connects.
pub fn main_container(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    spec.containers.first().map(|c| c.name.as_str())
}

/// Returns a pod that serves: running, ready, not terminating. With more than one replica buildx chooses a running pod by
/// a hash of the build context (docker/buildx, driver/kubernetes/podchooser).
pub fn ready_pod(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().find(|pod| is_ready(pod))
}

/// Returns whether a pod is ready and not terminating.
pub fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    ready && is_active(pod)
}

/// Returns whether a pod neither has ended nor is terminating. An evicted pod has ended, and stays as a record.
pub fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// Returns whether the API server dropped `hostUsers: false`. It does if it does not support the field, which is behind
/// a feature gate.
pub fn is_user_namespace_dropped(applied: &Value, returned: &Value) -> bool {
    let host_users = |deployment: &Value| deployment["spec"]["template"]["spec"]["hostUsers"].clone();
    host_users(applied) == false && host_users(returned) != false
}

/// Returns where the first container of a pod mounts the cache volume.
pub fn cache_path(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    let persistent = |name: &str| {
        let mut volumes = spec.volumes.iter().flatten();
        volumes.any(|v| v.name == name && (v.persistent_volume_claim.is_some() || v.host_path.is_some()))
    };
    let mut mounts = spec.containers.first()?.volume_mounts.iter().flatten();
    let mount = mounts.find(|m| persistent(&m.name))?;
    Some(mount.mount_path.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(app: &str, replicas: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "agent"},
            "spec": {
                "replicas": replicas,
                "selector": {},
                "template": {"metadata": {"labels": {"app": app}}}
            }
        }))
        .expect("deployment")
    }

    #[test]
    fn a_deployment_that_buildx_cannot_use_has_a_reason() {
        assert_eq!(check_usable(&deployment("agent", 1)), Ok(()));
        assert!(
            check_usable(&deployment("other", 1))
                .expect_err("label")
                .to_string()
                .contains("app=agent")
        );
        assert!(
            check_usable(&deployment("agent", 0))
                .expect_err("scale")
                .to_string()
                .contains("0 replicas")
        );
    }

    #[test]
    fn a_terminating_pod_is_not_ready() {
        let pod = |extra: serde_json::Value| -> Pod {
            let mut pod = json!({
                "metadata": {"name": "p"},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            });
            pod["metadata"]["deletionTimestamp"] = extra;
            serde_json::from_value(pod).expect("pod")
        };
        assert!(is_ready(&pod(json!(null))));
        assert!(!is_ready(&pod(json!("2026-01-01T00:00:00Z"))));
    }

    #[test]
    fn the_cache_path_is_the_mount_path_of_the_volume() {
        let pod: Pod = serde_json::from_value(json!({
            "spec": {
                "containers": [{"name": "buildkitd", "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/buildkit"},
                    {"name": "cache", "mountPath": "/var/lib/buildkit"}
                ]}],
                "volumes": [
                    {"name": "config", "configMap": {"name": "agent"}},
                    {"name": "cache", "persistentVolumeClaim": {"claimName": "agent"}}
                ]
            }
        }))
        .expect("pod");
        assert_eq!(cache_path(&pod), Some("/var/lib/buildkit"));
    }
}
