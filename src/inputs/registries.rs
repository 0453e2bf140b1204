//! The registries to be logged in to.

use super::cluster_access::identity;
use super::lists::entries;
use super::{Faults, Identity};
use crate::cli::ClusterArgs;
use crate::registry::Wanted;

/// What the input `ecr` asks for, and who asks ECR where access to the cluster needs no AWS.
#[derive(Debug, Clone)]
pub struct Registries {
    pub wanted: Vec<Wanted>,
    pub region: Option<String>,
    pub identity: Identity,
}

pub(super) fn check(ecr: Option<&str>, args: &ClusterArgs, faults: &mut Faults) -> Option<Registries> {
    let ecr = ecr?;
    let mut wanted = Vec::new();
    for entry in entries(ecr) {
        match Wanted::parse(entry) {
            Some(registry) => wanted.push(registry),
            None => faults.add(
                "ecr",
                entry,
                "auto, an account, a region, ACCOUNT/REGION, public, or a host such as \
                 123456789012.dkr.ecr.us-west-2.amazonaws.com",
            ),
        }
    }
    if entries(ecr).next().is_none() {
        faults.add("ecr", ecr, "names no registry; auto is the caller's own");
    }
    Some(Registries {
        wanted,
        region: args.region.clone(),
        identity: identity(args),
    })
}
