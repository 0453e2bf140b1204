//! Where an agent's volume comes from.

use super::Finding;
use crate::cluster::{Class, Seen};

/// What depends on the StorageClass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// An agent is to be deployed, or waits for its volume.
    New,
    /// All agents have theirs.
    Has,
}

const LOOK: &str = "To have it looked at, bind a ClusterRole to this identity with the rule {apiGroups: \
                    [storage.k8s.io], resources: [storageclasses, csidrivers, csinodes], verbs: [get, list]}; or see \
                    kubectl get storageclass yourself.";

/// The class that volumes will be of: the one of the inputs, or the default one.
pub fn class(wanted: Option<&str>, seen: &Seen<Vec<Class>>, need: Need) -> (Finding, Option<Class>) {
    let class = match seen {
        Seen::There(classes) => classes.iter().find(|class| match wanted {
            Some(name) => class.name == name,
            None => class.default,
        }),
        Seen::Absent => None,
        Seen::Forbidden(why) => return (forbidden(why, need), None),
    };
    let Some(class) = class else {
        return (absent(wanted, seen, need), None);
    };
    let default = if class.default { ", the default one" } else { "" };
    let grow = if class.expands { "can" } else { "cannot" };
    let found = format!(
        "{}{default}: provisioner {}; its volumes {grow} grow",
        class.name, class.provisioner
    );
    (Finding::ok(found), Some(class.clone()))
}

fn absent(wanted: Option<&str>, seen: &Seen<Vec<Class>>, need: Need) -> Finding {
    let finding = match (wanted, seen) {
        (Some(name), _) => Finding::failed(
            format!("there is no StorageClass {name}"),
            "Correct the input `storage-class`: kubectl get storageclass lists what there is; without it the default one \
             is taken.",
        ),
        (None, seen) => {
            let names = match seen {
                Seen::There(classes) => classes.iter().map(|class| class.name.as_str()).collect(),
                Seen::Absent | Seen::Forbidden(_) => vec![],
            };
            let there_are = if names.is_empty() {
                "there is none at all".into()
            } else {
                format!("there are: {}", names.join(", "))
            };
            Finding::failed(
                format!("no StorageClass is the default one; {there_are}"),
                "Set the input `storage-class`, or make one the default: kubectl annotate storageclass NAME \
                 storageclass.kubernetes.io/is-default-class=true.",
            )
        }
    };
    match need {
        Need::New => finding,
        Need::Has => finding.no_failure(),
    }
}

fn forbidden(why: &str, need: Need) -> Finding {
    match need {
        Need::New => Finding::warning(format!("may not be looked at: {why}"), LOOK),
        Need::Has => Finding::ok("may not be looked at, and need not be: the agent has its volume"),
    }
}

/// The CSI driver behind a class; `None` when its volumes come from something else.
pub fn driver(class: &Class) -> Option<&str> {
    match class.provisioner.as_str() {
        // Kubernetes hands what was built in to the driver (CSI migration).
        "kubernetes.io/aws-ebs" => Some("ebs.csi.aws.com"),
        // EKS Auto Mode runs it outside of the cluster.
        "ebs.csi.eks.amazonaws.com" => None,
        other if other.starts_with("kubernetes.io/") => None,
        // By convention; rancher.io/local-path and its like are none.
        other => other.contains("csi").then_some(other),
    }
}

/// Of a class without a driver in the cluster.
pub fn no_driver(class: &Class) -> Finding {
    Finding::ok(format!(
        "{} is none that registers with the cluster",
        class.provisioner
    ))
}

/// Whether a driver is there, and on how many nodes of how many.
pub fn csi(driver: &str, seen: &Seen<()>, nodes: &Seen<(usize, usize)>, need: Need) -> Finding {
    let finding = match (seen, nodes) {
        (Seen::Forbidden(why), _) => return forbidden(why, need),
        (Seen::Absent, _) => Finding::failed(
            format!("the driver {driver} is not in the cluster: there is no such CSIDriver"),
            "Install it; on EKS ebs.csi.aws.com is the add-on aws-ebs-csi-driver, which wants an IAM role of its own.",
        ),
        (Seen::There(()), Seen::There((0, of))) if *of > 0 => Finding::failed(
            format!("{driver} is in the cluster, and on none of its {of} nodes"),
            "See why its pods do not run there: kubectl -n kube-system get pods -l app=ebs-csi-node, for that of EKS.",
        ),
        (Seen::There(()), Seen::There((on, of))) => Finding::ok(format!("{driver}, on {on} of {of} nodes")),
        (Seen::There(()), _) => Finding::ok(format!("{driver}; its nodes may not be looked at")),
    };
    match need {
        Need::New => finding,
        Need::Has => finding.no_failure(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    fn classes() -> Seen<Vec<Class>> {
        let class = |name: &str, provisioner: &str, default| Class {
            name: name.into(),
            provisioner: provisioner.into(),
            default,
            expands: default,
        };
        Seen::There(vec![
            class("gp2", "kubernetes.io/aws-ebs", false),
            class("gp3", "ebs.csi.aws.com", true),
        ])
    }

    #[test]
    fn the_class_of_the_inputs_or_the_default_one() {
        let (finding, found) = class(None, &classes(), Need::New);
        assert_eq!(
            finding,
            Finding::ok("gp3, the default one: provisioner ebs.csi.aws.com; its volumes can grow")
        );
        assert_eq!(found.as_ref().and_then(driver), Some("ebs.csi.aws.com"));
        let (finding, found) = class(Some("gp2"), &classes(), Need::New);
        assert_eq!(finding.state, State::Ok);
        assert_eq!(found.as_ref().and_then(driver), Some("ebs.csi.aws.com"));
    }

    #[test]
    fn a_class_that_is_missing_matters_to_a_new_volume() {
        let (finding, _) = class(Some("tape"), &Seen::Absent, Need::New);
        assert_eq!(finding.state, State::Failed);
        assert_eq!(finding.found, "there is no StorageClass tape");
        let (finding, _) = class(Some("tape"), &Seen::Absent, Need::Has);
        assert_eq!(finding.state, State::Warning);
        let none = Seen::There(vec![]);
        assert!(
            class(None, &none, Need::New)
                .0
                .found
                .ends_with("there is none at all")
        );
        let forbidden = Seen::Forbidden("cannot list".into());
        assert_eq!(class(None, &forbidden, Need::New).0.state, State::Warning);
        assert_eq!(class(None, &forbidden, Need::Has).0.state, State::Ok);
    }

    #[test]
    fn a_driver_has_to_be_there_and_on_a_node() {
        let of = |seen, nodes| csi("ebs.csi.aws.com", &seen, &nodes, Need::New);
        let there = Seen::There(());
        assert_eq!(
            of(there.clone(), Seen::There((2, 3))),
            Finding::ok("ebs.csi.aws.com, on 2 of 3 nodes")
        );
        assert_eq!(of(there.clone(), Seen::There((0, 3))).state, State::Failed);
        // Nodes that an autoscaler has yet to make.
        assert_eq!(of(there, Seen::There((0, 0))).state, State::Ok);
        assert_eq!(of(Seen::Absent, Seen::There((0, 3))).state, State::Failed);
    }
}
