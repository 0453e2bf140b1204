//! What the cluster's objects say of an agent.

pub use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use serde_json::Value;

use super::manifests::{INSTANCE, MANAGED_BY, VOLUME_SIZE};
use super::quantity::Bytes;

/// Whether buildx can use this Deployment as a node of its name; the reason when it cannot.
pub fn usable(deployment: &Deployment) -> Result<(), String> {
    let name = deployment.metadata.name.as_deref().unwrap_or_default();
    let spec = deployment.spec.clone().unwrap_or_default();
    let template_labels = spec.template.metadata.and_then(|m| m.labels);
    if template_labels.and_then(|l| l.get("app").cloned()).as_deref() != Some(name) {
        return Err(format!(
            "its pods lack the label app={name}, by which buildx finds them"
        ));
    }
    if replicas(deployment) == 0 {
        return Err("it is scaled to 0 replicas".into());
    }
    Ok(())
}

/// Whether this program made the object.
pub fn is_ours(metadata: &ObjectMeta) -> bool {
    let labels = metadata.labels.as_ref();
    labels.and_then(|l| l.get(MANAGED_BY.0)).map(String::as_str) == Some(MANAGED_BY.1)
}

/// The input `name` that it was made for, of an agent that this program made.
pub fn instance(metadata: &ObjectMeta) -> Option<&str> {
    let labels = metadata.labels.as_ref()?;
    labels.get(INSTANCE).map(String::as_str)
}

/// For how many bytes an agent's buildkitd is configured.
pub fn configured_for(deployment: &Deployment) -> Option<Bytes> {
    let template = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    let bytes = template.annotations.as_ref()?.get(VOLUME_SIZE)?;
    bytes.parse().ok().map(Bytes)
}

/// How many pods it is to have.
pub fn replicas(deployment: &Deployment) -> i32 {
    let spec = deployment.spec.as_ref();
    spec.and_then(|s| s.replicas).unwrap_or(1)
}

/// Whether its cache is on a volume that outlives a pod.
pub fn has_volume(deployment: &Deployment) -> bool {
    let spec = deployment.spec.as_ref().and_then(|s| s.template.spec.as_ref());
    let volumes = spec.and_then(|s| s.volumes.as_ref()).into_iter().flatten();
    volumes
        .into_iter()
        .any(|v| v.persistent_volume_claim.is_some() || v.host_path.is_some())
}

/// The claim of its volume.
pub fn claim(deployment: &Deployment) -> Option<&str> {
    let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let mut volumes = spec.volumes.iter().flatten();
    let claim = volumes.find_map(|volume| volume.persistent_volume_claim.as_ref())?;
    Some(&claim.claim_name)
}

/// The container buildx talks to.
pub fn container(pod: &Pod) -> Option<&str> {
    let spec = pod.spec.as_ref()?;
    spec.containers.first().map(|c| c.name.as_str())
}

/// A pod that serves: running, ready, not terminating. With more than one replica buildx takes any that runs, by a
/// hash of the build's context (docker/buildx, driver/kubernetes/podchooser).
pub fn ready_pod(pods: &[Pod]) -> Option<&Pod> {
    pods.iter().find(|pod| is_ready(pod))
}

pub fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|s| s.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    ready && stays(pod)
}

/// Whether a pod has not ended and is not on its way out. One that was evicted stays, as a record.
pub fn stays(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// Whether the server left out `hostUsers: false`, as one does that cannot do it: the field is behind a feature gate.
pub fn lost_user_namespace(asked: &Value, got: &Value) -> bool {
    let host_users = |deployment: &Value| deployment["spec"]["template"]["spec"]["hostUsers"].clone();
    host_users(asked) == false && host_users(got) != false
}

/// Where in its first container a pod has its volume.
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
    fn a_deployment_buildx_cannot_use_says_why() {
        assert_eq!(usable(&deployment("agent", 1)), Ok(()));
        assert!(
            usable(&deployment("other", 1))
                .expect_err("label")
                .contains("app=agent")
        );
        assert!(
            usable(&deployment("agent", 0))
                .expect_err("scale")
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
    fn the_cache_is_where_the_volume_is_mounted() {
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
