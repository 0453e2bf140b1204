//! The Deployment of an agent.

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::patch::PatchError;
use super::super::quantity::Bytes;
use super::{Spec, VOLUME_SIZE, app_label, config_for, labels, metadata, pod};

/// Annotations against moving the pod, which would end the builds on it and move its volume. The inputs can override them.
const DO_NOT_DISRUPT: [(&str, &str); 2] = [
    // Karpenter, and EKS Auto Mode (karpenter.sh, concepts, disruption).
    ("karpenter.sh/do-not-disrupt", "true"),
    // kubernetes/autoscaler, cluster-autoscaler/FAQ.md.
    ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
];

/// The annotation of the pod with the hash of its configuration, as Helm charts name it.
pub(super) const CONFIG_HASH: &str = "checksum/config";

/// Returns the Deployment, with the patch of the inputs applied.
pub(super) fn deployment(spec: &Spec, volume: Bytes) -> anyhow::Result<Value> {
    let deployment = Deployment {
        metadata: ObjectMeta {
            annotations: (!spec.annotations.is_empty()).then(|| spec.annotations.clone()),
            ..metadata(spec)
        },
        spec: Some(DeploymentSpec {
            // The volume and buildkitd's lock allow only one pod; a rolling update would wait for the second one forever.
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
                    annotations: Some(pod_annotations(spec, volume)?),
                    ..Default::default()
                }),
                spec: Some(pod::pod(spec)),
            },
            ..Default::default()
        }),
        ..Default::default()
    };
    let deployment = serde_json::to_value(&deployment).context("writing the Deployment as JSON")?;
    let Some(patch) = &spec.patch else {
        return Ok(deployment);
    };
    let patched = patch.apply(deployment.clone())?;
    match immutable_field(&deployment, &patched) {
        None => Ok(patched),
        Some(path) => {
            let field = path.trim_start_matches('/').replace('/', ".").replace("~1", "/");
            Err(PatchError::at(
                &field,
                "a patch cannot change this field, on which buildx and connect depend",
            )
            .into())
        }
    }
}

/// The fields that no patch may change: they identify the agent and its one pod.
const IMMUTABLE_FIELDS: [&str; 9] = [
    "/metadata/name",
    "/metadata/namespace",
    "/metadata/labels/app.kubernetes.io~1managed-by",
    "/metadata/labels/app.kubernetes.io~1instance",
    "/spec/replicas",
    "/spec/strategy",
    "/spec/selector",
    "/spec/template/metadata/labels/app",
    // buildx connects to the first container.
    "/spec/template/spec/containers/0/name",
];

/// Returns the first immutable field that differs.
fn immutable_field(original: &Value, patched: &Value) -> Option<&'static str> {
    IMMUTABLE_FIELDS
        .into_iter()
        .find(|path| original.pointer(path) != patched.pointer(path))
}

/// Returns the annotations of the pod. buildkitd reads its configuration only when it starts, so the annotations make a
/// changed configuration a new pod. The hash is of the inputs alone, and the size of the volume is separate, for a caller
/// that knows only the inputs.
fn pod_annotations(spec: &Spec, volume: Bytes) -> anyhow::Result<BTreeMap<String, String>> {
    let hash = Sha256::digest(config_for(spec, spec.storage_bytes)?);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let defaults = DO_NOT_DISRUPT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut annotations = BTreeMap::from(defaults);
    annotations.extend(spec.annotations.clone());
    annotations.insert(CONFIG_HASH.into(), hash);
    annotations.insert(VOLUME_SIZE.into(), volume.0.to_string());
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::super::super::patch::DeploymentPatch;
    use super::*;

    fn patched(patch: &str) -> Result<Value, String> {
        let spec = Spec {
            patch: Some(DeploymentPatch::parse(patch).expect("a patch")),
            ..Spec::example()
        };
        deployment(&spec, spec.storage_bytes).map_err(|e| e.to_string())
    }

    #[test]
    fn a_patch_cannot_change_immutable_fields() {
        assert!(patched("spec: {template: {spec: {priorityClassName: high}}}").is_ok());
        for (patch, expected) in [
            (
                "spec: {replicas: 2}",
                "`spec.replicas`: a patch cannot change this field",
            ),
            ("spec: {strategy: {type: RollingUpdate}}", "`spec.strategy`"),
            (
                "metadata: {labels: {app.kubernetes.io/instance: x}}",
                "`metadata.labels.app.kubernetes.io/instance`",
            ),
            (
                "spec: {template: {metadata: {labels: {app: x}}}}",
                "`spec.template.metadata.labels.app`",
            ),
        ] {
            let error = patched(patch).expect_err(patch);
            assert!(error.contains(expected), "{expected} is not in {error}");
        }
    }
}
