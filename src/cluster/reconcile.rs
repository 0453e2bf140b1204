//! Reconciles an agent's ConfigMap with its Deployment when jobs with different inputs apply the same agent at once.
//!
//! There is no transaction over a ConfigMap and a Deployment, and a lock would be one more object to leave behind. So the
//! Deployment decides: a job writes the ConfigMap before the Deployment, and reads it after. The job that wrote the Deployment
//! last then finds either its own ConfigMap, or that of a job that was killed before it wrote its Deployment.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};

use super::Cluster;
use super::error::ApiOperation;
use crate::agent::manifests::{Objects, same_configuration, same_inputs};
use crate::agent::volume::VolumePlan;
use crate::agent::{Spec, state};

/// How often to look for another job's Deployment. Together longer than a job takes from its claim to its Deployment: a second
/// on a busy API server.
const POLLS: u32 = 20;
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The limit on rounds. Concurrent jobs need fewer, because each sleeps for a random time.
const MAX_ROUNDS: usize = 20;

impl Cluster {
    /// Applies an agent's objects until its ConfigMap belongs to its Deployment, whether this job or another wrote them.
    pub(super) async fn apply_until_consistent(
        &self,
        spec: &Spec,
        objects: &Objects,
        volume: &VolumePlan,
    ) -> anyhow::Result<()> {
        for _ in 0..MAX_ROUNDS {
            self.apply(spec, objects, volume, false).await?;
            if self.has_config(&spec.name, objects).await? {
                return Ok(());
            }
            // Another job is about to write the Deployment for its ConfigMap. The sleep is random so that two jobs do not
            // overwrite each other forever.
            let random = RandomState::new().hash_one(()) % 100;
            tokio::time::sleep(Duration::from_millis(20 + random)).await;
            let live = self.get_raw::<Deployment>(&spec.name).await?;
            if live.is_none_or(|live| !same_configuration(&objects.deployment, &live)) {
                return Ok(());
            }
            tracing::debug!("the ConfigMap {} does not belong to its Deployment", spec.name);
        }
        // Something other than a job changes the ConfigMap each time.
        Ok(())
    }

    /// Repairs the ConfigMap of an agent whose Deployment matches the inputs: a job that was killed between writing the two leaves
    /// a ConfigMap of other inputs. Returns whether it was changed.
    pub async fn repair_config_map(&self, spec: &Spec, deployment: &Deployment) -> anyhow::Result<bool> {
        let Some(size) = state::configured_volume_size(deployment) else {
            return Ok(false);
        };
        let objects = Objects::new(spec, size)?;
        // Without retries: a working agent does not wait for this.
        let (api, operation) = (self.api::<ConfigMap>(), ApiOperation::on::<ConfigMap>("get"));
        let live = self.request_once(&operation, api.get_opt(&spec.name)).await;
        if is_config(live.map_err(|failed| failed.error)?, &objects) {
            return Ok(false);
        }
        self.apply_until_consistent(spec, &objects, &VolumePlan { apply: false, size })
            .await?;
        Ok(true)
    }

    async fn has_config(&self, name: &str, objects: &Objects) -> anyhow::Result<bool> {
        Ok(is_config(self.get::<ConfigMap>(name).await?, objects))
    }

    /// Returns whether another job has deployed this agent with other inputs. While there is only a claim, its Deployment is awaited.
    pub(super) async fn is_deployed_by_another_job(&self, spec: &Spec) -> bool {
        let Ok(ours) = Objects::new(spec, spec.storage_bytes) else {
            return false;
        };
        for _ in 0..POLLS {
            match self.get_raw::<Deployment>(&spec.name).await {
                Ok(Some(live)) => return !same_inputs(&ours.deployment, &live),
                Ok(None) => {}
                Err(_) => return false,
            }
            let claim = self.get::<PersistentVolumeClaim>(&spec.name).await;
            if !claim.is_ok_and(|claim| claim.is_some()) {
                return false;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        false
    }
}

fn is_config(live: Option<ConfigMap>, objects: &Objects) -> bool {
    let live = live.and_then(|live| live.data).unwrap_or_default();
    let mut ours = objects.config.data.iter().flatten();
    ours.all(|(key, text)| live.get(key) == Some(text))
}
