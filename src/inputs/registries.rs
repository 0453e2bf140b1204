//! The input `ecr`: the registries to log in to.

use super::cluster_access::{AwsIdentity, identity};
use super::lists::entries;
use super::validation::ValidationErrors;
use crate::cli::ClusterArgs;
use crate::registry::EcrSelector;

/// The registries to log in to. The region and the identity are for a cluster that is not on EKS; otherwise the login
/// uses the session of the EKS cluster.
#[derive(Debug, Clone)]
pub struct Registries {
    pub selectors: Vec<EcrSelector>,
    pub region: Option<String>,
    pub identity: AwsIdentity,
}

/// Validates the input `ecr`.
pub(super) fn check(
    ecr: Option<&str>,
    args: &ClusterArgs,
    errors: &mut ValidationErrors,
) -> Option<Registries> {
    let ecr = ecr?;
    let mut selectors = Vec::new();
    for entry in entries(ecr) {
        match EcrSelector::parse(entry) {
            Some(selector) => selectors.push(selector),
            None => errors.add(
                "ecr",
                entry,
                "must be auto, an account, a region, ACCOUNT/REGION, public, or a host such as \
                 123456789012.dkr.ecr.us-west-2.amazonaws.com",
            ),
        }
    }
    if entries(ecr).next().is_none() {
        errors.add(
            "ecr",
            ecr,
            "contains no registry; set auto for your own account and region",
        );
    }
    Some(Registries {
        selectors,
        region: args.region.clone(),
        identity: identity(args),
    })
}
