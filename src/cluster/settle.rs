//! Jobs that apply one agent at once, with different inputs.
//!
//! There is no transaction over a ConfigMap and a Deployment, and a lock would be one more object to leave behind. So the
//! Deployment decides: a ConfigMap is only ever written before a Deployment, and looked at after it. Whoever wrote the
//! Deployment last then finds either its own ConfigMap, or one whose writer was killed before it came to its Deployment.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};

use super::Cluster;
use super::refusal::Request;
use crate::agent::manifests::{Objects, same_configuration, same_inputs};
use crate::agent::volume::VolumePlan;
use crate::agent::{Spec, state};

/// Longer than another job takes from its claim to its Deployment: on a busy API server that is a second.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// More than jobs at once need: each sleeps for a time of its own.
const ROUNDS: usize = 20;

impl Cluster {
    /// Applies an agent's objects until its ConfigMap is that of its Deployment, ours or another job's.
    pub(super) async fn put(
        &self,
        spec: &Spec,
        objects: &Objects,
        volume: &VolumePlan,
    ) -> anyhow::Result<()> {
        for _ in 0..ROUNDS {
            self.apply(spec, objects, volume, false).await?;
            if self.has_config(&spec.name, objects).await? {
                return Ok(());
            }
            // The Deployment to that ConfigMap is on its way. Not for equally long in each job: two that always met again
            // would go on for ever.
            let random = RandomState::new().hash_one(()) % 100;
            tokio::time::sleep(Duration::from_millis(20 + random)).await;
            let live = self.whole::<Deployment>(&spec.name).await?;
            if live.is_none_or(|live| !same_configuration(&objects.deployment, &live)) {
                return Ok(());
            }
            tracing::debug!("the ConfigMap {} is not that of its Deployment", spec.name);
        }
        // Whatever changes it each time is not a job that applies an agent.
        Ok(())
    }

    /// Puts the ConfigMap of an agent right whose Deployment is as the inputs describe it: a job that was killed between
    /// the two leaves another. Returns whether there was something to do.
    pub async fn mend(&self, spec: &Spec, deployment: &Deployment) -> anyhow::Result<bool> {
        let Some(size) = state::configured_volume_size(deployment) else {
            return Ok(false);
        };
        let objects = Objects::new(spec, size)?;
        // Once: an agent that serves does not wait for this.
        let (api, request) = (self.api::<ConfigMap>(), Request::of::<ConfigMap>("get"));
        let live = self.once(&request, api.get_opt(&spec.name)).await;
        if is_config(live.map_err(|failed| failed.error)?, &objects) {
            return Ok(false);
        }
        self.put(spec, &objects, &VolumePlan { apply: false, size })
            .await?;
        Ok(true)
    }

    async fn has_config(&self, name: &str, objects: &Objects) -> anyhow::Result<bool> {
        Ok(is_config(self.get::<ConfigMap>(name).await?, objects))
    }

    /// Whether there is an agent that another job made, with other inputs. One that has only its claim yet is on its way.
    pub(super) async fn made_by_another(&self, spec: &Spec) -> bool {
        let Ok(ours) = Objects::new(spec, spec.storage_bytes) else {
            return false;
        };
        for _ in 0..LOOKS {
            match self.whole::<Deployment>(&spec.name).await {
                Ok(Some(live)) => return !same_inputs(&ours.deployment, &live),
                Ok(None) => {}
                Err(_) => return false,
            }
            let claim = self.get::<PersistentVolumeClaim>(&spec.name).await;
            if !claim.is_ok_and(|claim| claim.is_some()) {
                return false;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        false
    }
}

fn is_config(live: Option<ConfigMap>, objects: &Objects) -> bool {
    let live = live.and_then(|live| live.data).unwrap_or_default();
    let mut ours = objects.config.data.iter().flatten();
    ours.all(|(key, text)| live.get(key) == Some(text))
}
