//! Evaluates the StorageClass of an agent's volume and its CSI driver.

use super::Finding;
use crate::cluster::{Lookup, StorageClassInfo};

/// Whether the StorageClass must provide a new volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeNeed {
    /// An agent will be deployed, or waits for its volume.
    New,
    /// All agents have their volumes.
    Has,
}

const PERMISSION_REMEDY: &str = "Bind a ClusterRole to this identity with the rule {apiGroups: [storage.k8s.io], resources: \
                    [storageclasses, csidrivers, csinodes], verbs: [get, list]}, or run kubectl get storageclass as \
                    an administrator.";

/// Returns the row of the StorageClass for new volumes, and the class: that of the inputs, or the default one.
pub fn class(
    wanted: Option<&str>,
    seen: &Lookup<Vec<StorageClassInfo>>,
    need: VolumeNeed,
) -> (Finding, Option<StorageClassInfo>) {
    let class = match seen {
        Lookup::Found(classes) => classes.iter().find(|class| match wanted {
            Some(name) => class.name == name,
            None => class.default,
        }),
        Lookup::NotFound => None,
        Lookup::Forbidden(why) => return (forbidden(why, need), None),
    };
    let Some(class) = class else {
        return (absent(wanted, seen, need), None);
    };
    let default = if class.default { " (default)" } else { "" };
    let grow = if class.expands { "can" } else { "cannot" };
    let found = format!(
        "{}{default}: provisioner {}; volumes {grow} be expanded",
        class.name, class.provisioner
    );
    (Finding::ok(found), Some(class.clone()))
}

fn absent(wanted: Option<&str>, seen: &Lookup<Vec<StorageClassInfo>>, need: VolumeNeed) -> Finding {
    let finding = match (wanted, seen) {
        (Some(name), _) => Finding::failed(
            format!("the StorageClass {name} does not exist"),
            "Correct the input `storage-class` (kubectl get storageclass lists the existing ones), or omit it to use \
             the default StorageClass.",
        ),
        (None, seen) => {
            let names = match seen {
                Lookup::Found(classes) => classes.iter().map(|class| class.name.as_str()).collect(),
                Lookup::NotFound | Lookup::Forbidden(_) => vec![],
            };
            let there_are = if names.is_empty() {
                "none exists".into()
            } else {
                format!("existing: {}", names.join(", "))
            };
            Finding::failed(
                format!("no StorageClass is the default; {there_are}"),
                "Set the input `storage-class`, or make one the default: kubectl annotate storageclass NAME \
                 storageclass.kubernetes.io/is-default-class=true.",
            )
        }
    };
    match need {
        VolumeNeed::New => finding,
        VolumeNeed::Has => finding.downgrade_failure(),
    }
}

fn forbidden(why: &str, need: VolumeNeed) -> Finding {
    match need {
        VolumeNeed::New => Finding::warning(format!("no permission to read it: {why}"), PERMISSION_REMEDY),
        VolumeNeed::Has => Finding::ok("no permission to read it; not needed: the agent has its volume"),
    }
}

/// Returns the CSI driver of a class, or `None` if none is registered in the cluster for it.
pub fn driver(class: &StorageClassInfo) -> Option<&str> {
    match class.provisioner.as_str() {
        // Kubernetes forwards the in-tree plugin to the driver (CSI migration).
        "kubernetes.io/aws-ebs" => Some("ebs.csi.aws.com"),
        // EKS Auto Mode runs it outside of the cluster.
        "ebs.csi.eks.amazonaws.com" => None,
        other if other.starts_with("kubernetes.io/") => None,
        // By convention; rancher.io/local-path and similar provisioners are not CSI drivers.
        other => other.contains("csi").then_some(other),
    }
}

/// Returns the row for a class without a CSI driver in the cluster.
pub fn no_driver(class: &StorageClassInfo) -> Finding {
    Finding::ok(format!(
        "{} does not register a CSI driver in the cluster",
        class.provisioner
    ))
}

/// Returns the row of a CSI driver, with the number of nodes that it runs on.
pub fn csi(driver: &str, seen: &Lookup<()>, nodes: &Lookup<(usize, usize)>, need: VolumeNeed) -> Finding {
    let finding = match (seen, nodes) {
        (Lookup::Forbidden(why), _) => return forbidden(why, need),
        (Lookup::NotFound, _) => Finding::failed(
            format!("the CSI driver {driver} is not installed: the CSIDriver object does not exist"),
            "Install it. On EKS, ebs.csi.aws.com is the add-on aws-ebs-csi-driver, which needs an IAM role of its own.",
        ),
        (Lookup::Found(()), Lookup::Found((0, of))) if *of > 0 => Finding::failed(
            format!("{driver} is installed, but runs on none of the {of} nodes"),
            "Check why its pods do not run there; for EKS: kubectl -n kube-system get pods -l app=ebs-csi-node.",
        ),
        (Lookup::Found(()), Lookup::Found((on, of))) => {
            Finding::ok(format!("{driver}, on {on} of {of} nodes"))
        }
        (Lookup::Found(()), _) => Finding::ok(format!("{driver}; no permission to read its nodes")),
    };
    match need {
        VolumeNeed::New => finding,
        VolumeNeed::Has => finding.downgrade_failure(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::CheckStatus;
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
    fn the_class_is_that_of_the_inputs_or_the_default() {
        let (finding, found) = class(None, &classes(), VolumeNeed::New);
        assert_eq!(
            finding,
            Finding::ok("gp3 (default): provisioner ebs.csi.aws.com; volumes can be expanded")
        );
        assert_eq!(found.as_ref().and_then(driver), Some("ebs.csi.aws.com"));
        let (finding, found) = class(Some("gp2"), &classes(), VolumeNeed::New);
        assert_eq!(finding.status, CheckStatus::Ok);
        assert_eq!(found.as_ref().and_then(driver), Some("ebs.csi.aws.com"));
    }

    #[test]
    fn a_missing_class_fails_only_for_a_new_volume() {
        let (finding, _) = class(Some("tape"), &Lookup::NotFound, VolumeNeed::New);
        assert_eq!(finding.status, CheckStatus::Failed);
        assert_eq!(finding.found, "the StorageClass tape does not exist");
        let (finding, _) = class(Some("tape"), &Lookup::NotFound, VolumeNeed::Has);
        assert_eq!(finding.status, CheckStatus::Warning);
        let none = Lookup::Found(vec![]);
        assert!(
            class(None, &none, VolumeNeed::New)
                .0
                .found
                .ends_with("none exists")
        );
        let forbidden = Lookup::Forbidden("cannot list".into());
        assert_eq!(
            class(None, &forbidden, VolumeNeed::New).0.status,
            CheckStatus::Warning
        );
        assert_eq!(class(None, &forbidden, VolumeNeed::Has).0.status, CheckStatus::Ok);
    }

    #[test]
    fn a_driver_must_be_installed_and_run_on_a_node() {
        let of = |seen, nodes| csi("ebs.csi.aws.com", &seen, &nodes, VolumeNeed::New);
        let there = Lookup::Found(());
        assert_eq!(
            of(there.clone(), Lookup::Found((2, 3))),
            Finding::ok("ebs.csi.aws.com, on 2 of 3 nodes")
        );
        assert_eq!(
            of(there.clone(), Lookup::Found((0, 3))).status,
            CheckStatus::Failed
        );
        // Without nodes yet: an autoscaler adds them.
        assert_eq!(of(there, Lookup::Found((0, 0))).status, CheckStatus::Ok);
        assert_eq!(
            of(Lookup::NotFound, Lookup::Found((0, 3))).status,
            CheckStatus::Failed
        );
    }
}
