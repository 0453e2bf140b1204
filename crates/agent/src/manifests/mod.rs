//! The Kubernetes objects of an agent, for server-side apply: only the fields that this program owns.

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
use serde_json::{Value, json};

use super::quantity::Bytes;
use super::{Spec, buildkitd};

/// The label of all objects that this program creates; objects without it belong to others.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "remote-buildkit");

/// The label with the input `name`, which several agents may share.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// The label by which buildx finds the pods of a node.
pub const APP: &str = "app";

/// The annotation of the pod with the size of the volume for which buildkitd is configured, in bytes.
pub(crate) const VOLUME_SIZE: &str = "remote-buildkit/volume-bytes";

/// The label of all nodes with their architecture.
pub const ARCH_LABEL: &str = "kubernetes.io/arch";

/// Labels that no input may set.
pub const RESERVED_LABELS: [&str; 3] = [APP, INSTANCE, MANAGED_BY.0];

/// Annotations that no input may set.
pub const RESERVED_ANNOTATIONS: [&str; 2] = [deployment::CONFIG_HASH, VOLUME_SIZE];

/// Returns whether two Deployments have the same buildkitd.toml: the same inputs and the same volume size.
pub fn same_configuration(one: &Value, other: &Value) -> bool {
    let same = |annotation: &str| pod_annotation(one, annotation) == pod_annotation(other, annotation);
    RESERVED_ANNOTATIONS.into_iter().all(same)
}

/// Returns whether two Deployments have the same buildkitd.toml, except for the size of the volume.
pub fn same_inputs(one: &Value, other: &Value) -> bool {
    pod_annotation(one, deployment::CONFIG_HASH) == pod_annotation(other, deployment::CONFIG_HASH)
}

/// Returns an annotation of the pod of a Deployment.
fn pod_annotation<'d>(deployment: &'d Value, annotation: &str) -> &'d Value {
    &deployment["spec"]["template"]["metadata"]["annotations"][annotation]
}

/// All objects of an agent.
#[derive(Debug)]
pub struct Objects {
    pub config: ConfigMap,
    pub claim: PersistentVolumeClaim,
    /// With the patch of the inputs applied, which may set fields that this program does not know.
    pub deployment: Value,
}

impl Objects {
    /// Returns the objects of an agent, for a volume of this size.
    pub fn new(spec: &Spec, volume: Bytes) -> anyhow::Result<Self> {
        let toml = config_for(spec, volume)?;
        Ok(Self {
            deployment: deployment::deployment(spec, volume)?,
            config: config_map(spec, toml),
            claim: volume_claim(spec),
        })
    }
}

/// Returns buildkitd.toml, for a volume of this size.
fn config_for(spec: &Spec, volume: Bytes) -> anyhow::Result<String> {
    buildkitd::config(&spec.buildkitd, spec.isolation.root(), volume).context("writing buildkitd.toml")
}

/// Returns the objects of agents, in the order in which connect applies them.
pub fn objects(agents: &[Spec]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for spec in agents {
        let Objects {
            config,
            claim,
            deployment,
        } = Objects::new(spec, spec.storage_bytes)?;
        all.push(serde_json::to_value(config)?);
        all.push(serde_json::to_value(claim)?);
        all.push(deployment);
    }
    Ok(all)
}

/// Returns objects as YAML documents.
pub fn yaml(objects: &[Value]) -> anyhow::Result<String> {
    let document = |object| serde_saphyr::to_string(object).context("writing a manifest as YAML");
    let documents: anyhow::Result<Vec<String>> = objects.iter().map(document).collect();
    Ok(documents?.join("---\n"))
}

/// Returns objects as one List in JSON, as `kubectl get -o json` prints several objects.
pub fn json(objects: &[Value]) -> String {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    format!("{list:#}")
}

fn config_map(spec: &Spec, toml: String) -> ConfigMap {
    ConfigMap {
        metadata: metadata(spec),
        data: Some(BTreeMap::from([("buildkitd.toml".into(), toml)])),
        ..Default::default()
    }
}

/// Returns the claim of the cache volume. It is ReadWriteOnce, because buildkitd locks its root directory, and overlayfs does
/// not work on NFS.
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
    let own = [
        app_label(spec),
        (INSTANCE.into(), spec.instance.clone()),
        (MANAGED_BY.0.into(), MANAGED_BY.1.into()),
    ];
    spec.labels.clone().into_iter().chain(own).collect()
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
        insta::assert_snapshot!(yaml(&objects(&[Spec::example()]).expect("objects")).expect("yaml"));
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
            memory_limit: Some("8Gi".into()),
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
        insta::assert_snapshot!(yaml(&objects(&[spec]).expect("objects")).expect("yaml"));
    }

    #[test]
    fn a_pod_that_requests_nothing_has_no_resources() {
        let spec = Spec {
            cpu: None,
            memory: None,
            ..Spec::example()
        };
        let objects = Objects::new(&spec, spec.storage_bytes).expect("objects");
        let pod = &objects.deployment["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0].get("resources"), None);
    }

    #[test]
    fn the_node_selector_has_the_architecture() {
        let selected = |arch: Option<&str>, default_arch: Option<&str>, input: Option<&str>| {
            let input = input.map(|arch| (ARCH_LABEL.to_owned(), arch.to_owned()));
            let spec = Spec {
                arch: arch.map(Into::into),
                default_arch: default_arch.map(Into::into),
                node_selector: input.into_iter().collect(),
                ..Spec::example()
            };
            let objects = Objects::new(&spec, spec.storage_bytes).expect("objects");
            objects.deployment["spec"]["template"]["spec"]["nodeSelector"][ARCH_LABEL].clone()
        };
        assert_eq!(selected(None, None, None), Value::Null);
        assert_eq!(selected(None, Some("amd64"), None), "amd64");
        assert_eq!(selected(None, Some("amd64"), Some("arm64")), "arm64");
        assert_eq!(selected(Some("arm64"), Some("amd64"), None), "arm64");
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

    /// A changed configuration replaces the pod, because buildkitd reads it only when it starts.
    #[test]
    fn a_changed_configuration_changes_the_pod() {
        let template = |volume| {
            let objects = Objects::new(&Spec::example(), Bytes(volume)).expect("objects");
            objects.deployment["spec"]["template"].clone()
        };
        assert_eq!(template(50 << 30), template(50 << 30));
        assert_ne!(template(50 << 30), template(60 << 30));
    }
}
