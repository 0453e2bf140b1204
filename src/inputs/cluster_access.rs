//! Validates the inputs that select the cluster and the identity that accesses it.

use std::path::PathBuf;

use super::names::{is_cluster_name, is_role_arn};
use super::validation::ValidationErrors;
use crate::cli::ClusterArgs;
use crate::registry::is_region;

/// How to reach the cluster: through EKS, a kubeconfig, or as a pod of it.
#[derive(Debug)]
pub enum ClusterAccess {
    Eks {
        cluster: String,
        region: Option<String>,
        identity: AwsIdentity,
    },
    Kubeconfig {
        path: PathBuf,
        context: Option<String>,
    },
    InCluster,
}

/// The identity that calls AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsIdentity {
    Role(Role),
    /// The default credential chain of the AWS SDK.
    Default,
    /// The machine's own identity, regardless of the environment: its instance profile or the role of its pod.
    Machine,
}

/// A role to assume with the job's OIDC token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    pub arn: String,
    pub audience: String,
}

/// Returns the identity that the flags select.
pub(super) fn identity(args: &ClusterArgs) -> AwsIdentity {
    args.role_to_assume.as_ref().map_or(AwsIdentity::Default, |arn| {
        AwsIdentity::Role(Role {
            arn: arn.clone(),
            audience: args.audience.clone(),
        })
    })
}

/// Validates the flags for AWS.
fn check_aws(args: &ClusterArgs, errors: &mut ValidationErrors) {
    if let Some(region) = &args.region {
        let allowed = "must be an AWS region such as us-west-2";
        errors.check(is_region(region), "region", region, allowed);
    }
    if let Some(role) = &args.role_to_assume {
        let allowed = "must be the ARN of a role, such as arn:aws:iam::123456789012:role/name";
        errors.check(is_role_arn(role), "role-to-assume", role, allowed);
    }
}

/// Validates the flags that select the cluster. `aws`: whether the command calls AWS even if the cluster is not on
/// EKS.
pub(super) fn check(args: &ClusterArgs, aws: bool, errors: &mut ValidationErrors) -> Option<ClusterAccess> {
    let ClusterArgs {
        cluster,
        region,
        role_to_assume,
        kubeconfig,
        context,
        // Read by `identity`; any text is valid.
        audience: _,
    } = args;
    match (cluster, kubeconfig) {
        (Some(cluster), None) => {
            errors.check(
                is_cluster_name(cluster),
                "cluster",
                cluster,
                "must be the name of an EKS cluster: at most 100 letters, digits, - and _, starting with a letter or digit",
            );
            check_aws(args, errors);
            if let Some(context) = context {
                errors.add(
                    "context",
                    context,
                    "requires `kubeconfig` and cannot be used with `cluster`",
                );
            }
            Some(ClusterAccess::Eks {
                cluster: cluster.clone(),
                region: region.clone(),
                identity: identity(args),
            })
        }
        (None, Some(kubeconfig)) => {
            if aws {
                check_aws(args, errors);
            } else {
                for (name, value) in [("region", region), ("role-to-assume", role_to_assume)] {
                    if let Some(value) = value {
                        let allowed = "requires `cluster` or `ecr`; `kubeconfig` alone does not use AWS";
                        errors.add(name, value, allowed);
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
                errors.add("context", context, "cannot be used with `kubeconfig: in-cluster`");
            }
            Some(ClusterAccess::InCluster)
        }
        (None, None) => {
            errors.add(
                "cluster",
                "",
                "set the name of an EKS cluster, or `kubeconfig` for any other cluster",
            );
            None
        }
        (Some(cluster), Some(_)) => {
            errors.add(
                "cluster",
                cluster,
                "set either `cluster` or `kubeconfig`, not both",
            );
            None
        }
    }
}
