//! Checks the CSI driver of the StorageClass.

use super::super::agents::NewVolume;
use super::super::check::{Check, CheckGroup};
use super::super::checklist::skipped_because;
use super::super::finding::Finding;
use super::storage_class;
use crate::cluster::{Cluster, Lookup, StorageClassInfo};

pub const CHECK: Check = Check::new("csi-driver", CheckGroup::Storage);

/// Reads the driver of the class, and on how many nodes it runs.
pub async fn run(
    cluster: &Cluster,
    class: &StorageClassInfo,
    new_volume: NewVolume,
) -> anyhow::Result<(Finding, ())> {
    let Some(driver) = driver(class) else {
        let found = format!(
            "the provisioner {} has no CSI driver in the cluster",
            class.provisioner
        );
        return Ok((Finding::ok(found), ()));
    };
    let found = cluster.csi_driver(driver).await?;
    let nodes = match found {
        Lookup::Found(()) => cluster.csi_nodes(driver).await?,
        Lookup::NotFound | Lookup::Forbidden(_) => Lookup::NotFound,
    };
    Ok((evaluate(driver, &found, &nodes, new_volume), ()))
}

/// Returns the finding if there is no StorageClass to ask for its driver.
pub fn without_class(new_volume: NewVolume) -> Finding {
    match new_volume {
        NewVolume::NotNeeded => Finding::not_needed("not needed: no agent is known to need a new volume"),
        NewVolume::Needed => Finding::skipped(skipped_because(storage_class::CHECK.name)),
    }
}

/// Returns the CSI driver of a class, or `None` if its provisioner registers none in the cluster.
fn driver(class: &StorageClassInfo) -> Option<&str> {
    match class.provisioner.as_str() {
        // Kubernetes forwards the in-tree plugin to the driver (CSI migration).
        "kubernetes.io/aws-ebs" => Some("ebs.csi.aws.com"),
        // EKS Auto Mode runs its driver outside of the cluster.
        "ebs.csi.eks.amazonaws.com" => None,
        other if other.starts_with("kubernetes.io/") => None,
        // By convention; rancher.io/local-path and similar provisioners are not CSI drivers.
        other => other.contains("csi").then_some(other),
    }
}

/// Returns the finding for a CSI driver. `nodes` has the number of nodes on which it runs, and of all nodes.
pub fn evaluate(
    driver: &str,
    found: &Lookup<()>,
    nodes: &Lookup<(usize, usize)>,
    new_volume: NewVolume,
) -> Finding {
    let finding = match (found, nodes) {
        (Lookup::Forbidden(why), _) => return storage_class::no_permission("CSIDrivers", why, new_volume),
        (Lookup::NotFound, _) => Finding::failed(
            format!("the CSI driver {driver} is not installed: the CSIDriver object does not exist"),
            "Install it. On EKS, ebs.csi.aws.com is the add-on aws-ebs-csi-driver, which needs an IAM role of its own.",
        ),
        (Lookup::Found(()), Lookup::Found((0, of))) if *of > 0 => Finding::failed(
            format!("{driver} is installed, but runs on none of the {of} nodes"),
            "Check why its pods do not run there; for EKS: kubectl -n kube-system get pods -l app=ebs-csi-node.",
        ),
        (Lookup::Found(()), Lookup::Found((on, of))) => {
            Finding::ok(format!("{driver} runs on {on} of {of} nodes"))
        }
        (Lookup::Found(()), _) => Finding::ok(format!(
            "{driver} is installed; no permission to read on which nodes it runs"
        )),
    };
    new_volume.downgrade_unneeded(finding)
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
    use super::*;

    #[test]
    fn without_a_class_the_driver_matters_only_for_a_new_volume() {
        let of = |new_volume| without_class(new_volume).status;
        assert_eq!(
            (of(NewVolume::NotNeeded), of(NewVolume::Needed)),
            (CheckStatus::NotNeeded, CheckStatus::Skipped)
        );
    }

    #[test]
    fn a_provisioner_may_have_a_driver() {
        let of = |provisioner: &str| {
            let class = StorageClassInfo {
                name: "disk".into(),
                provisioner: provisioner.into(),
                default: false,
                expands: false,
            };
            driver(&class).map(ToOwned::to_owned)
        };
        for (provisioner, expected) in [
            ("ebs.csi.aws.com", Some("ebs.csi.aws.com")),
            ("kubernetes.io/aws-ebs", Some("ebs.csi.aws.com")),
            ("ebs.csi.eks.amazonaws.com", None),
            ("kubernetes.io/no-provisioner", None),
            ("rancher.io/local-path", None),
        ] {
            assert_eq!(of(provisioner).as_deref(), expected, "{provisioner}");
        }
    }

    #[test]
    fn a_driver_must_be_installed_and_run_on_a_node() {
        let of = |found, nodes| evaluate("ebs.csi.aws.com", &found, &nodes, NewVolume::Needed);
        let installed = Lookup::Found(());
        assert_eq!(
            of(installed.clone(), Lookup::Found((2, 3))),
            Finding::ok("ebs.csi.aws.com runs on 2 of 3 nodes")
        );
        assert_eq!(
            of(installed.clone(), Lookup::Found((0, 3))).status,
            CheckStatus::Failed
        );
        // There is no node yet: an autoscaler adds one.
        assert_eq!(of(installed, Lookup::Found((0, 0))).status, CheckStatus::Ok);
        assert_eq!(
            of(Lookup::NotFound, Lookup::Found((0, 3))).status,
            CheckStatus::Failed
        );
    }
}
