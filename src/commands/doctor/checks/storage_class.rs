//! Checks the StorageClass of the agents' volumes.

use super::super::Doctor;
use super::super::agents::NewVolume;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use crate::cluster::{Cluster, Lookup, StorageClassInfo};

pub const CHECK: Check = Check::new("storage-class", CheckGroup::Storage);

/// The StorageClass that `setup` creates in a cluster without a default one.
const SETUP_CLASS: &str = "remote-buildkit";

/// Reads the StorageClass. Returns the class, if it exists and can be read.
pub async fn run(
    doctor: &Doctor,
    cluster: &Cluster,
    new_volume: NewVolume,
) -> anyhow::Result<(Finding, Option<StorageClassInfo>)> {
    let name = doctor.plan.agents.spec.storage_class.as_deref();
    let found = cluster.storage_classes(name).await?;
    Ok(evaluate(name, &found, new_volume))
}

/// Returns the finding for the StorageClass of new volumes, and the class: the one of the input `storage-class`, or the
/// default one.
pub fn evaluate(
    requested: Option<&str>,
    found: &Lookup<Vec<StorageClassInfo>>,
    new_volume: NewVolume,
) -> (Finding, Option<StorageClassInfo>) {
    let class = match found {
        Lookup::Found(classes) => classes.iter().find(|class| match requested {
            Some(name) => class.name == name,
            None => class.default,
        }),
        Lookup::NotFound => None,
        Lookup::Forbidden(why) => return (no_permission("StorageClasses", why, new_volume), None),
    };
    let Some(class) = class else {
        return (not_found(requested, found, new_volume), None);
    };
    let default = if class.default { " (default)" } else { "" };
    let can = if class.expands { "can" } else { "cannot" };
    let found = format!(
        "{}{default}: provisioner {}; volumes {can} be expanded",
        class.name, class.provisioner
    );
    (Finding::ok(found), Some(class.clone()))
}

fn not_found(
    requested: Option<&str>,
    found: &Lookup<Vec<StorageClassInfo>>,
    new_volume: NewVolume,
) -> Finding {
    let finding = match (requested, found) {
        (Some(name), _) => Finding::failed(
            format!("the StorageClass {name} does not exist"),
            "Correct the input `storage-class` (kubectl get storageclass lists the existing ones), or omit it to use \
             the default StorageClass.",
        ),
        (None, found) => {
            let names: Vec<&str> = match found {
                Lookup::Found(classes) => classes.iter().map(|class| class.name.as_str()).collect(),
                Lookup::NotFound | Lookup::Forbidden(_) => vec![],
            };
            let existing = if names.is_empty() {
                "none exists".into()
            } else {
                format!("existing: {}", names.join(", "))
            };
            let remedy = if names.contains(&SETUP_CLASS) {
                "Set `storage-class: remote-buildkit`."
            } else {
                "Set the input `storage-class`, run `remote-buildkit setup`, which creates the StorageClass remote-buildkit, or \
                 make one the default: kubectl annotate storageclass NAME storageclass.kubernetes.io/is-default-class=true."
            };
            Finding::failed(format!("no StorageClass is the default; {existing}"), remedy)
        }
    };
    new_volume.downgrade_unneeded(finding)
}

/// Returns the finding when the identity cannot read these cluster-wide objects.
pub fn no_permission(objects: &str, why: &str, new_volume: NewVolume) -> Finding {
    match new_volume {
        NewVolume::Needed => Finding::warning(
            format!("no permission to read {objects}: {why}"),
            "Bind a ClusterRole to this identity with the rule {apiGroups: [storage.k8s.io], resources: \
             [storageclasses, csidrivers, csinodes], verbs: [get, list]}, or run kubectl get storageclass as an \
             administrator.",
        ),
        NewVolume::NotNeeded => Finding::not_needed(format!(
            "no permission to read {objects}; not needed: no agent is known to need a new volume"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
    use super::*;

    fn classes() -> Lookup<Vec<StorageClassInfo>> {
        let class = |name: &str, provisioner: &str, default| StorageClassInfo {
            name: name.into(),
            provisioner: provisioner.into(),
            default,
            expands: default,
        };
        Lookup::Found(vec![
            class("gp2", "kubernetes.io/aws-ebs", false),
            class("gp3", "ebs.csi.aws.com", true),
        ])
    }

    #[test]
    fn the_class_is_the_input_or_the_default() {
        let (finding, found) = evaluate(None, &classes(), NewVolume::Needed);
        assert_eq!(
            finding,
            Finding::ok("gp3 (default): provisioner ebs.csi.aws.com; volumes can be expanded")
        );
        assert_eq!(found.map(|class| class.name).as_deref(), Some("gp3"));
        let (finding, found) = evaluate(Some("gp2"), &classes(), NewVolume::Needed);
        assert_eq!(finding.status, CheckStatus::Ok);
        assert_eq!(found.map(|class| class.name).as_deref(), Some("gp2"));
    }

    #[test]
    fn a_missing_class_fails_only_for_a_new_volume() {
        let (finding, _) = evaluate(Some("tape"), &Lookup::NotFound, NewVolume::Needed);
        assert_eq!(finding.status, CheckStatus::Failed);
        assert_eq!(finding.found, "the StorageClass tape does not exist");
        let (finding, _) = evaluate(Some("tape"), &Lookup::NotFound, NewVolume::NotNeeded);
        assert_eq!(finding.status, CheckStatus::Warning);
        let none = Lookup::Found(vec![]);
        assert!(
            evaluate(None, &none, NewVolume::Needed)
                .0
                .found
                .ends_with("none exists")
        );
        let own = StorageClassInfo {
            name: SETUP_CLASS.into(),
            provisioner: "ebs.csi.aws.com".into(),
            default: false,
            expands: true,
        };
        let (finding, _) = evaluate(None, &Lookup::Found(vec![own]), NewVolume::Needed);
        assert_eq!(finding.remedy, "Set `storage-class: remote-buildkit`.");
        let forbidden = Lookup::Forbidden("cannot list".into());
        assert_eq!(
            evaluate(None, &forbidden, NewVolume::Needed).0.status,
            CheckStatus::Warning
        );
        assert_eq!(
            evaluate(None, &forbidden, NewVolume::NotNeeded).0.status,
            CheckStatus::NotNeeded
        );
    }
}
