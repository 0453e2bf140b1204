//! What `setup` needs in the cluster: a namespace, the Roles of jobs, a StorageClass.

use remote_buildkit_agent::changes::differing_fields;
use remote_buildkit_agent::manifests::{MANAGED_BY, rbac};
use serde_json::{Value, json};

use crate::group;
use crate::plan::{Action, Conflict, Step};

/// The label by which Pod Security decides which pods a namespace may have.
pub const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

/// The StorageClass that `setup` creates where the cluster has no default one.
pub const STORAGE_CLASS: &str = "remote-buildkit";

/// The CSI driver of the EKS add-on `aws-ebs-csi-driver`.
pub const EBS_DRIVER: &str = "ebs.csi.aws.com";

/// The CSI driver of EKS Auto Mode.
pub const AUTO_MODE_DRIVER: &str = "ebs.csi.eks.amazonaws.com";

/// Returns the namespace, in which Pod Security admits the agents.
pub fn namespace(name: &str) -> Value {
    ours(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": name, "labels": { ENFORCE: "privileged" } },
    }))
}

/// Returns the two Roles, and the RoleBinding that lets the group of the jobs use agents.
pub fn access(namespace: &str) -> anyhow::Result<Vec<Value>> {
    let mut objects: Vec<Value> = rbac::roles(namespace)?.into_iter().map(ours).collect();
    let api_group = "rbac.authorization.k8s.io";
    objects.push(ours(json!({
        "apiVersion": format!("{api_group}/v1"),
        "kind": "RoleBinding",
        "metadata": { "name": "remote-buildkit-use", "namespace": namespace },
        "roleRef": { "apiGroup": api_group, "kind": "Role", "name": "remote-buildkit-use" },
        "subjects": [{ "apiGroup": api_group, "kind": "Group", "name": group(namespace) }],
    })));
    Ok(objects)
}

/// Returns the StorageClass of cache volumes. A volume is created in the zone of the pod's node.
pub fn storage_class(provisioner: &str) -> Value {
    ours(json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": { "name": STORAGE_CLASS },
        "provisioner": provisioner,
        "parameters": { "type": "gp3", "encrypted": "true" },
        "allowVolumeExpansion": true,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }))
}

/// Adds the label of this program's objects.
fn ours(mut object: Value) -> Value {
    let (label, value) = MANAGED_BY;
    object["metadata"]["labels"][label] = value.into();
    object
}

/// Returns whether this program created an object.
pub fn is_ours(object: &Value) -> bool {
    let (label, value) = MANAGED_BY;
    object["metadata"]["labels"][label] == value
}

/// Returns the kind and the name of an object.
pub fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}

/// Returns the step for an object. An object of others is used if it has what is needed, and never changed.
pub fn plan(desired: &Value, live: Option<&Value>) -> Result<Step, Conflict> {
    let name = name(desired);
    let Some(live) = live else {
        return Ok(Step::create(name, Action::Apply(desired.clone())));
    };
    if is_ours(live) {
        let fields = differing_fields(desired, live);
        return Ok(if fields.is_empty() {
            Step::keep(name)
        } else {
            Step::change(name, Action::Apply(desired.clone())).with_details(fields)
        });
    }
    if desired["kind"] == "Namespace" {
        return plan_namespace_of_others(&name, live);
    }
    let mut needed = desired.clone();
    if let Some(metadata) = needed["metadata"].as_object_mut() {
        metadata.shift_remove("labels");
    }
    let fields = differing_fields(&needed, live);
    if fields.is_empty() {
        return Ok(Step::keep(format!("{name}, created by other tools")));
    }
    let (label, value) = MANAGED_BY;
    Err(Conflict {
        what: format!(
            "{name} exists, does not have the label {label}={value}, so remote-buildkit did not create it, and differs in {}. \
             Nothing was changed.",
            fields.join(", ")
        ),
        remedy: "Choose another `namespace`, or delete that object.".into(),
    })
}

/// Returns the step for a namespace that this program did not create.
fn plan_namespace_of_others(name: &str, live: &Value) -> Result<Step, Conflict> {
    let namespace = live["metadata"]["name"].as_str().unwrap_or_default();
    let label = format!("kubectl label namespace {namespace} --overwrite {ENFORCE}=privileged");
    match live["metadata"]["labels"][ENFORCE].as_str() {
        Some("privileged") => Ok(Step::keep(format!("{name}, created by other tools"))),
        Some(level) => Err(Conflict {
            what: format!(
                "{name} exists, and its label {ENFORCE}={level} does not admit agents, which are privileged. Nothing was changed."
            ),
            remedy: format!("Choose another `namespace`, or change the label: {label}"),
        }),
        None => Ok(
            Step::keep(format!("{name}, created by other tools")).with_details([format!(
                "without the label {ENFORCE}; if the cluster enforces Pod Security: {label}"
            )]),
        ),
    }
}

/// A StorageClass of the cluster.
#[derive(Debug, Clone)]
pub struct FoundClass {
    pub name: String,
    pub provisioner: String,
    pub default: bool,
}

/// What the cluster has for volumes.
#[derive(Debug, Clone, Default)]
pub struct FoundStorage {
    pub classes: Vec<FoundClass>,
    /// Whether the EKS add-on is installed.
    pub ebs: bool,
    /// Whether EKS Auto Mode provides volumes.
    pub auto_mode: bool,
}

/// The StorageClass of new agents, and the step that it needs.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageChoice {
    /// `None`: the default class, or the class of the input.
    pub class: Option<&'static str>,
    pub step: Step,
}

/// Returns the StorageClass of new agents: the one of the input, the cluster's default, or `remote-buildkit`, which is created
/// if it does not exist.
pub fn choose_storage(requested: Option<&str>, found: &FoundStorage) -> Result<StorageChoice, Conflict> {
    let existing = |class: &FoundClass, note: &str| Step::keep(format!("StorageClass {}{note}", class.name));
    let named = |name: &str| found.classes.iter().find(|class| class.name == name);
    if let Some(name) = requested {
        let class = named(name).ok_or_else(|| Conflict {
            what: format!("The StorageClass {name} does not exist."),
            remedy: "Correct `storage-class`; kubectl get storageclass lists the existing ones.".into(),
        })?;
        return Ok(StorageChoice {
            class: None,
            step: existing(class, ""),
        });
    }
    if let Some(class) = found.classes.iter().find(|class| class.default) {
        // Kubernetes passes volumes of its former driver, kubernetes.io/aws-ebs, on to the add-on (CSI migration).
        let needs_addon = [EBS_DRIVER, "kubernetes.io/aws-ebs"].contains(&class.provisioner.as_str());
        if needs_addon && !found.ebs {
            return Err(no_driver(&format!(
                "The default StorageClass {} needs the CSI driver {EBS_DRIVER}, which the cluster does not have.",
                class.name
            )));
        }
        return Ok(StorageChoice {
            class: None,
            step: existing(class, ", the default"),
        });
    }
    if let Some(class) = named(STORAGE_CLASS) {
        return Ok(StorageChoice {
            class: Some(STORAGE_CLASS),
            step: existing(class, ""),
        });
    }
    let driver = if found.ebs {
        EBS_DRIVER
    } else if found.auto_mode {
        AUTO_MODE_DRIVER
    } else {
        return Err(no_driver(&format!(
            "No StorageClass of the cluster is the default, and it has neither the CSI driver {EBS_DRIVER} nor \
             {AUTO_MODE_DRIVER}."
        )));
    };
    let step = Step::create(
        format!("StorageClass {STORAGE_CLASS}"),
        Action::Apply(storage_class(driver)),
    );
    Ok(StorageChoice {
        class: Some(STORAGE_CLASS),
        step: step.with_details([format!("gp3, encrypted, by {driver}")]),
    })
}

fn no_driver(what: &str) -> Conflict {
    Conflict {
        what: format!("{what} Nothing was changed."),
        remedy: "On EKS, install the add-on aws-ebs-csi-driver, whose pods need a role with the policy \
                 AmazonEBSCSIDriverPolicyV2 (https://docs.aws.amazon.com/eks/latest/userguide/ebs-csi.html). Elsewhere, name an \
                 existing class with `storage-class`."
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Mark;

    #[test]
    fn objects() {
        let mut objects = vec![namespace("buildkit")];
        objects.extend(access("buildkit").expect("Roles"));
        objects.push(storage_class(AUTO_MODE_DRIVER));
        insta::assert_snapshot!(remote_buildkit_agent::manifests::yaml(&objects).expect("YAML"));
    }

    fn role() -> Value {
        access("buildkit").expect("Roles").remove(0)
    }

    #[test]
    fn objects_that_exist() {
        let desired = role();
        let text = |live: Option<&Value>| match plan(&desired, live) {
            Ok(step) => step.lines().join("\n"),
            Err(conflict) => format!("{}\n{}", conflict.what, conflict.remedy),
        };
        let mut of_others = desired.clone();
        of_others["metadata"]["labels"] = json!({});
        let mut differs = desired.clone();
        differs["rules"][0]["verbs"] = json!(["get", "delete"]);
        let mut others_differ = differs.clone();
        others_differ["metadata"]["labels"] = json!({});
        let texts = [
            text(None),
            text(Some(&desired)),
            text(Some(&differs)),
            text(Some(&of_others)),
            text(Some(&others_differ)),
        ];
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn a_namespace_of_others_is_used_unless_pod_security_forbids_agents() {
        let of_others = |labels: Value| {
            let live = json!({ "kind": "Namespace", "metadata": { "name": "ci", "labels": labels } });
            match plan(&namespace("ci"), Some(&live)) {
                Ok(step) => step.lines().join("\n"),
                Err(conflict) => format!("{}\n{}", conflict.what, conflict.remedy),
            }
        };
        let texts = [
            of_others(json!({})),
            of_others(json!({ ENFORCE: "privileged" })),
            of_others(json!({ ENFORCE: "restricted" })),
        ];
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn storage_of_clusters() {
        let class = |name: &str, provisioner: &str, default| FoundClass {
            name: name.into(),
            provisioner: provisioner.into(),
            default,
        };
        let gp2 = class("gp2", "kubernetes.io/aws-ebs", false);
        let with = |classes: &[FoundClass], ebs, auto_mode| FoundStorage {
            classes: classes.to_vec(),
            ebs,
            auto_mode,
        };
        let own = class(STORAGE_CLASS, EBS_DRIVER, false);
        let cases = [
            (
                "a default",
                None,
                with(&[gp2.clone(), class("gp3", EBS_DRIVER, true)], true, false),
            ),
            (
                "a default without its driver",
                None,
                with(&[class("gp2", "kubernetes.io/aws-ebs", true)], false, false),
            ),
            ("the add-on", None, with(std::slice::from_ref(&gp2), true, false)),
            ("Auto Mode", None, with(std::slice::from_ref(&gp2), false, true)),
            ("again", None, with(&[gp2.clone(), own], true, false)),
            ("neither", None, with(std::slice::from_ref(&gp2), false, false)),
            ("the input", Some("gp2"), with(&[gp2], false, false)),
            ("a wrong input", Some("tape"), FoundStorage::default()),
        ];
        let texts = cases.map(|(title, requested, found)| {
            let text = match choose_storage(requested, &found) {
                Ok(choice) => format!("{:?} {}", choice.class, choice.step.lines().join("\n")),
                Err(conflict) => format!("{}\n{}", conflict.what, conflict.remedy),
            };
            format!("{title}: {text}")
        });
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn a_kept_object_has_no_action() {
        let step = plan(&role(), Some(&role())).expect("a step");
        assert_eq!((step.mark, step.action), (Mark::Keep, None));
    }
}
