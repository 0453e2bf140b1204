//! Validates the inputs that say how to reach the cluster.

use std::path::PathBuf;

use super::Faults;
use super::names::{is_cluster_name, is_role_arn};
use crate::cli::ClusterArgs;
use crate::registry::is_region;

/// How to reach the cluster: through EKS, a kubeconfig, or as a pod of it.
#[derive(Debug)]
pub enum ClusterAccess {
    Eks {
        cluster: String,
        region: Option<String>,
        identity: Identity,
    },
    Kubeconfig {
        path: PathBuf,
        context: Option<String>,
    },
    InCluster,
}

/// Who calls AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    Role(Role),
    /// Whoever the default chain of AWS finds.
    Default,
    /// The machine itself, whatever the environment says: its instance profile, or the role of its pod.
    Machine,
}

/// A role to assume with the job's OIDC token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub audience: String,
}

pub(super) fn identity(args: &ClusterArgs) -> Identity {
    args.role_to_assume.as_ref().map_or(Identity::Default, |arn| {
        Identity::Role(Role {
            arn: arn.clone(),
            audience: args.audience.clone(),
        })
    })
}

fn check_aws(args: &ClusterArgs, faults: &mut Faults) {
    if let Some(region) = &args.region {
        let allowed = "an AWS region such as us-west-2";
        faults.check(is_region(region), "region", region, allowed);
    }
    if let Some(role) = &args.role_to_assume {
        let allowed = "the ARN of a role: arn:aws:iam::123456789012:role/name";
        faults.check(is_role_arn(role), "role-to-assume", role, allowed);
    }
}

/// `aws`: whether AWS is called even where the cluster is not one of EKS.
pub(super) fn check(args: &ClusterArgs, aws: bool, faults: &mut Faults) -> Option<ClusterAccess> {
    let ClusterArgs {
        cluster,
        region,
        role_to_assume,
        kubeconfig,
        context,
        ..
    } = args;
    match (cluster, kubeconfig) {
        (Some(cluster), None) => {
            faults.check(
                is_cluster_name(cluster),
                "cluster",
                cluster,
                "a name of an EKS cluster: up to 100 letters, digits, - and _, a letter or digit first",
            );
            check_aws(args, faults);
            if let Some(context) = context {
                faults.add("context", context, "goes with `kubeconfig`, not with `cluster`");
            }
            Some(ClusterAccess::Eks {
                cluster: cluster.clone(),
                region: region.clone(),
                identity: identity(args),
            })
        }
        (None, Some(kubeconfig)) => {
            if aws {
                check_aws(args, faults);
            } else {
                for (name, value) in [("region", region), ("role-to-assume", role_to_assume)] {
                    if let Some(value) = value {
                        let allowed = "goes with `cluster` or `ecr`; `kubeconfig` alone touches no AWS";
                        faults.add(name, value, allowed);
                    }
                }
            }
            if kubeconfig != "in-cluster" {
                return Some(ClusterAccess::Kubeconfig {
                    path: PathBuf::from(kubeconfig),
                    context: context.clone(),
                });
            }
            if let Some(context) = context {
                faults.add("context", context, "has no meaning with `kubeconfig: in-cluster`");
            }
            Some(ClusterAccess::InCluster)
        }
        (None, None) => {
            faults.add(
                "cluster",
                "",
                "give the name of an EKS cluster, or `kubeconfig` for any other",
            );
            None
        }
        (Some(cluster), Some(_)) => {
            faults.add(
                "cluster",
                cluster,
                "give either `cluster` or `kubeconfig`, not both",
            );
            None
        }
    }
}
