//! Whether an agent that is waited for can still come.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;

use super::Cluster;
use super::refusal::Request;
use crate::agent::state;
use crate::retry::FailureKind;

/// What became of a Deployment while its pod was waited for.
#[derive(Debug)]
pub enum Lost {
    Deleted,
    /// It has no pod any more, or none that buildx finds.
    Unusable(String),
    /// We may not look any more.
    Refused(anyhow::Error),
}

/// Nobody is waited for that long who is on the way, and a Role to use an agent has no watch on Deployments.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Cluster {
    /// Returns when there is nothing left to wait for. The watches do not say so: without a pod they are silent, and they go
    /// on when their permission is taken away.
    pub async fn lost(&self, name: &str) -> Lost {
        let (api, request) = (self.api::<Deployment>(), Request::of::<Deployment>("get"));
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match self.once(&request, api.get_opt(name)).await {
                Ok(None) => return Lost::Deleted,
                Ok(Some(deployment)) => {
                    if let Err(why) = state::check_usable(&deployment) {
                        return Lost::Unusable(why.to_string());
                    }
                }
                Err(failed) if failed.kind == FailureKind::Permanent => return Lost::Refused(failed.error),
                Err(failed) => tracing::debug!("not looked at: {:#}", failed.error),
            }
        }
    }
}
