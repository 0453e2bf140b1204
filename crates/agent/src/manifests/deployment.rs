//! The Deployment around the pod.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::quantity::Bytes;
use super::{Spec, VOLUME_SIZE, app_label, config_for, labels, metadata, pod};

/// A pod that is moved takes the builds on it along, and its volume has to follow; annotations of the inputs win.
const KEPT_IN_PLACE: [(&str, &str); 2] = [
    // Karpenter, and EKS Auto Mode (karpenter.sh, concepts, disruption).
    ("karpenter.sh/do-not-disrupt", "true"),
    // kubernetes/autoscaler, cluster-autoscaler/FAQ.md.
    ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
];

/// As Helm's charts call it.
pub(super) const CONFIG_HASH: &str = "checksum/config";

pub(super) fn deployment(spec: &Spec, volume: Bytes) -> anyhow::Result<Value> {
    let deployment = Deployment {
        metadata: ObjectMeta {
            annotations: (!spec.annotations.is_empty()).then(|| spec.annotations.clone()),
            ..metadata(spec)
        },
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
    let patched = patch.apply(deployment.clone()).map_err(anyhow::Error::msg)?;
    match untouchable(&deployment, &patched) {
        None => Ok(patched),
        Some(path) => bail!("it changes {path}, without which there is no agent for buildx to find"),
    }
}

/// What no patch may change: by these the agent is found, and there is one pod of it.
const UNTOUCHABLE: [&str; 9] = [
    "/metadata/name",
    "/metadata/namespace",
    "/metadata/labels/app.kubernetes.io~1managed-by",
    "/metadata/labels/app.kubernetes.io~1instance",
    "/spec/replicas",
    "/spec/strategy",
    "/spec/selector",
    "/spec/template/metadata/labels/app",
    // buildx talks to the first container.
    "/spec/template/spec/containers/0/name",
];

fn untouchable(ours: &Value, patched: &Value) -> Option<&'static str> {
    UNTOUCHABLE
        .into_iter()
        .find(|path| ours.pointer(path) != patched.pointer(path))
}

/// buildkitd reads its configuration when it starts: another one is another pod. What it is by the inputs and what the
/// volume makes of it are told apart, for whoever has the inputs alone.
fn pod_annotations(spec: &Spec, volume: Bytes) -> anyhow::Result<BTreeMap<String, String>> {
    let hash = Sha256::digest(config_for(spec, spec.storage_bytes)?);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let kept = KEPT_IN_PLACE.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut annotations = BTreeMap::from(kept);
    annotations.extend(spec.annotations.clone());
    annotations.insert(CONFIG_HASH.into(), hash);
    annotations.insert(VOLUME_SIZE.into(), volume.0.to_string());
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::super::super::patch::Patch;
    use super::*;

    fn patched(patch: &str) -> Result<Value, String> {
        let spec = Spec {
            patch: Some(Patch::parse(patch).expect("a patch")),
            ..Spec::example()
        };
        deployment(&spec, spec.storage_bytes).map_err(|e| e.to_string())
    }

    #[test]
    fn a_patch_leaves_what_makes_an_agent() {
        assert!(patched("spec: {template: {spec: {priorityClassName: high}}}").is_ok());
        for (patch, named) in [
            ("spec: {replicas: 2}", "/spec/replicas"),
            ("spec: {strategy: {type: RollingUpdate}}", "/spec/strategy"),
            ("metadata: {labels: {app.kubernetes.io/instance: x}}", "instance"),
            ("spec: {template: {metadata: {labels: {app: x}}}}", "labels/app"),
        ] {
            let error = patched(patch).expect_err(patch);
            assert!(error.contains(named), "{named} is not in {error}");
        }
    }
}
