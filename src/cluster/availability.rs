//! Detects that an agent cannot become ready any more because its Deployment was changed or deleted.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;

use super::Cluster;
use super::error::ApiOperation;
use crate::agent::state;
use crate::retry::FailureKind;

/// Why it is useless to wait for an agent any longer.
#[derive(Debug)]
pub enum AgentGone {
    Deleted,
    /// It has no pod, or no pod that buildx finds; the reason.
    Unusable(String),
    /// The identity lost the permission to read the Deployment.
    Denied(anyhow::Error),
}

/// The poll interval. A watch is not possible: the *use* Role cannot watch Deployments.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

impl Cluster {
    /// Returns when it is useless to wait for the agent any longer. The watches do not report it: without a pod they are silent,
    /// and they stay open when their permission is revoked.
    pub async fn wait_until_gone(&self, name: &str) -> AgentGone {
        let (api, operation) = (self.api::<Deployment>(), ApiOperation::on::<Deployment>("get"));
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            match self.request_once(&operation, api.get_opt(name)).await {
                Ok(None) => return AgentGone::Deleted,
                Ok(Some(deployment)) => {
                    if let Err(why) = state::check_usable(&deployment) {
                        return AgentGone::Unusable(why.to_string());
                    }
                }
                Err(failed) if failed.kind == FailureKind::Permanent => {
                    return AgentGone::Denied(failed.error);
                }
                Err(failed) => tracing::debug!("cannot read the Deployment: {:#}", failed.error),
            }
        }
    }
}
