//! The objects of an agent, as server-side apply takes them: only the fields that are ours to say.

mod deployment;
mod pod;
pub mod rbac;

use std::collections::BTreeMap;

use anyhow::Context;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::quantity::Bytes;
use super::{Spec, buildkitd};

/// A label that every object of ours carries; an agent without it was made by somebody else.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "remote-buildkit");

/// The label with the input `name`, which several agents may have in common.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// The label by which buildx finds the pods of a node.
pub const APP: &str = "app";

/// On the pod: for how many bytes its buildkitd is configured.
pub const VOLUME_SIZE: &str = "remote-buildkit/volume-bytes";

/// The label that every node has.
pub const ARCH_LABEL: &str = "kubernetes.io/arch";

/// Labels that no input may set.
pub const OUR_LABELS: [&str; 3] = [APP, INSTANCE, MANAGED_BY.0];

/// Annotations that no input may set.
pub const OUR_ANNOTATIONS: [&str; 2] = [deployment::CONFIG_HASH, VOLUME_SIZE];

/// Whether two Deployments have the same configuration: that of the same inputs, and for a volume of the same size.
pub fn same_configuration(one: &Value, other: &Value) -> bool {
    let same = |annotation: &str| annotation_of(one, annotation) == annotation_of(other, annotation);
    OUR_ANNOTATIONS.into_iter().all(same)
}

/// Whether the inputs of two Deployments come to the same configuration, whatever their volumes have become.
pub fn same_inputs(one: &Value, other: &Value) -> bool {
    annotation_of(one, deployment::CONFIG_HASH) == annotation_of(other, deployment::CONFIG_HASH)
}

/// Of a Deployment's pod.
fn annotation_of<'d>(deployment: &'d Value, annotation: &str) -> &'d Value {
    &deployment["spec"]["template"]["metadata"]["annotations"][annotation]
}

/// All of an agent.
#[derive(Debug)]
pub struct Objects {
    pub config: ConfigMap,
    pub claim: PersistentVolumeClaim,
    /// With the patch of the inputs, which may name fields that this program does not know.
    pub deployment: Value,
}

impl Objects {
    /// For a volume of this size.
    pub fn new(spec: &Spec, volume: Bytes) -> anyhow::Result<Self> {
        let toml = config_for(spec, volume)?;
        Ok(Self {
            deployment: deployment::deployment(spec, volume)?,
            config: config_map(spec, toml),
            claim: volume_claim(spec),
        })
    }
}

fn config_for(spec: &Spec, volume: Bytes) -> anyhow::Result<String> {
    buildkitd::config(&spec.buildkitd, spec.isolation.root(), volume).context("writing buildkitd.toml")
}

/// The objects of agents as YAML documents, in the order connect applies them.
pub fn yaml(agents: &[Spec]) -> anyhow::Result<String> {
    let mut documents = Vec::new();
    for spec in agents {
        let objects = Objects::new(spec, spec.storage_bytes)?;
        documents.push(document(&objects.config)?);
        documents.push(document(&objects.claim)?);
        documents.push(document(&objects.deployment)?);
    }
    Ok(documents.join("---\n"))
}

pub(super) fn document(object: &impl serde::Serialize) -> anyhow::Result<String> {
    serde_saphyr::to_string(object).context("writing a manifest as YAML")
}

fn config_map(spec: &Spec, toml: String) -> ConfigMap {
    ConfigMap {
        metadata: metadata(spec),
        data: Some(BTreeMap::from([("buildkitd.toml".into(), toml)])),
        ..Default::default()
    }
}

/// The cache volume. ReadWriteOnce: buildkitd locks its root, and overlayfs cannot sit on NFS.
fn volume_claim(spec: &Spec) -> PersistentVolumeClaim {
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

fn metadata(spec: &Spec) -> ObjectMeta {
    ObjectMeta {
        name: Some(spec.name.clone()),
        namespace: Some(spec.namespace.clone()),
        labels: Some(labels(spec)),
        ..Default::default()
    }
}

fn labels(spec: &Spec) -> BTreeMap<String, String> {
    let ours = [
        app_label(spec),
        (INSTANCE.into(), spec.instance.clone()),
        (MANAGED_BY.0.into(), MANAGED_BY.1.into()),
    ];
    spec.labels.clone().into_iter().chain(ours).collect()
}

fn app_label(spec: &Spec) -> (String, String) {
    (APP.into(), spec.name.clone())
}

fn quantities(entries: &[(&str, Option<&str>)]) -> BTreeMap<String, Quantity> {
    entries
        .iter()
        .filter_map(|(name, value)| Some(((*name).to_owned(), Quantity((*value)?.to_owned()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Taint;
    use super::super::isolation::Isolation;
    use super::*;

    #[test]
    fn manifests_by_default() {
        insta::assert_snapshot!(yaml(&[Spec::example()]).expect("yaml"));
    }

    #[test]
    fn manifests_with_every_input() {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let spec = Spec {
            name: "agent-arm64-2".into(),
            instance: "agent".into(),
            isolation: Isolation::Rootless,
            image: Isolation::Rootless.default_image(),
            storage_class: Some("gp3".into()),
            cpu: Some("4".into()),
            memory: Some("8Gi".into()),
            arch: Some("arm64".into()),
            drain: std::time::Duration::from_secs(90),
            node_selector: map("pool", "builds"),
            tolerations: vec![
                Taint {
                    key: "dedicated".into(),
                    value: Some("builds".into()),
                    effect: Some("NoSchedule".into()),
                },
                Taint {
                    key: "spot".into(),
                    value: None,
                    effect: None,
                },
            ],
            service_account: Some("builder".into()),
            labels: map("team", "platform"),
            annotations: map("karpenter.sh/do-not-disrupt", "false"),
            ..Spec::example()
        };
        insta::assert_snapshot!(yaml(&[spec]).expect("yaml"));
    }

    #[test]
    fn manifests_with_a_user_namespace() {
        let spec = Spec {
            isolation: Isolation::UserNamespace,
            ..Spec::example()
        };
        let objects = Objects::new(&spec, spec.storage_bytes).expect("objects");
        let pod = &objects.deployment["spec"]["template"]["spec"];
        assert_eq!(pod["hostUsers"], false);
        assert_eq!(pod["containers"][0]["securityContext"]["privileged"], true);
    }

    /// A pod is replaced when its configuration changes: buildkitd reads it once.
    #[test]
    fn another_configuration_is_another_pod() {
        let template = |volume| {
            let objects = Objects::new(&Spec::example(), Bytes(volume)).expect("objects");
            objects.deployment["spec"]["template"].clone()
        };
        assert_eq!(template(50 << 30), template(50 << 30));
        assert_ne!(template(50 << 30), template(60 << 30));
    }
}
