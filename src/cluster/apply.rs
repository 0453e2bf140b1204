//! Deploys an agent with server-side apply. If jobs with different inputs deploy it at once, reconciles its ConfigMap
//! with its Deployment.
//!
//! There is no transaction over a ConfigMap and a Deployment, and a lock would be one more object that could be left
//! behind. So the Deployment decides: a job writes the ConfigMap before the Deployment, and reads it afterwards. The
//! job that wrote the Deployment last finds its own ConfigMap, or the ConfigMap of a job that was killed before it wrote
//! its Deployment.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::Error;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde::Serialize;
use serde_json::Value;

use super::error::{self, ApiOperation, ClusterError};
use super::{Cluster, NamespacedObject};
use crate::agent::manifests::{Objects, same_configuration, same_inputs};
use crate::agent::volume::{self, VolumePlan};
use crate::agent::{self, Spec, state};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// How often to read another job's Deployment until it exists, and at which interval. A job on a busy API server takes
/// a second from its claim to its Deployment.
const POLLS: u32 = 20;
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The limit on rounds. Concurrent jobs need fewer, because each sleeps for a random time.
const MAX_ROUNDS: usize = 20;

/// An agent's objects on the server, or as a dry run would make them, with all their fields.
#[derive(Debug, Default)]
pub(super) struct LiveObjects {
    pub(super) config: Option<Value>,
    pub(super) claim: Option<Value>,
    pub(super) deployment: Option<Value>,
}

/// The inputs of the job that deployed an agent, compared with those of this job.
#[derive(Debug, Clone, Copy)]
enum JobInputs {
    Same,
    Different,
}

impl Cluster {
    /// Deploys an agent: applies its claim, ConfigMap and Deployment. A dry run of all three comes first, so that a
    /// rejected object leaves nothing behind. An existing claim keeps its size and its cache; the configuration is
    /// generated for that size.
    pub async fn deploy(&self, spec: &Spec) -> Result<(), ClusterError> {
        let Err(error) = self.deploy_absent(spec).await else {
            return Ok(());
        };
        // The objects of a job that deploys the agent at the same time may be the reason.
        match self.inputs_of_another_job(spec).await {
            Some(JobInputs::Different) => Ok(()),
            // The claim may be of a third job, with another size. Now that it exists, it keeps that size.
            Some(JobInputs::Same) => self.deploy_absent(spec).await,
            None => Err(error),
        }
    }

    async fn deploy_absent(&self, spec: &Spec) -> Result<(), ClusterError> {
        let (objects, volume) = self.dry_run(spec).await?;
        // Another job, perhaps with other inputs, was faster: leave its agent unchanged.
        if self.deployment(&spec.name).await?.is_some() {
            return Ok(());
        }
        self.apply_until_consistent(spec, &objects, &volume).await
    }

    /// Checks by a dry run that the server would accept an agent.
    pub async fn dry_run_deploy(&self, spec: &Spec) -> Result<(), ClusterError> {
        self.dry_run(spec).await.map(drop)
    }

    /// Applies an agent's objects in a dry run. Returns the objects, and whether to apply the claim.
    async fn dry_run(&self, spec: &Spec) -> Result<(Objects, VolumePlan), ClusterError> {
        self.check_config_owner(spec).await?;
        let claim = self.get::<PersistentVolumeClaim>(&spec.name).await?;
        let volume = volume::plan_for_new_agent(spec, claim.as_ref());
        let objects = Objects::new(spec, volume.size)?;
        self.apply(spec, &objects, &volume, true).await?;
        Ok((objects, volume))
    }

    /// Returns an error if a ConfigMap of this name exists that this program did not create. Server-side apply reports
    /// no conflict if its keys differ from the agent's.
    pub(super) async fn check_config_owner(&self, spec: &Spec) -> Result<(), ClusterError> {
        let config = self.get::<ConfigMap>(&spec.name).await?;
        if config.is_none_or(|config| state::is_ours(&config.metadata)) {
            return Ok(());
        }
        Err(Problem::new(
            ErrorCode::FieldManagerConflict,
            format!(
                "Cannot deploy the agent {0}/{1}: a ConfigMap {1} exists in that namespace, and remote-buildkit did not create it.",
                self.namespace, spec.name
            ),
            "Choose another `name`, or delete that ConfigMap.",
        )
        .into())
    }

    /// Applies an agent's objects, or only validates them (dry run). Returns them with all fields, as the server has
    /// them.
    pub(super) async fn apply(
        &self,
        spec: &Spec,
        objects: &Objects,
        volume: &VolumePlan,
        dry_run: bool,
    ) -> Result<LiveObjects, ClusterError> {
        // Without force: a field that another manager owns is a conflict.
        let params = PatchParams::apply(agent::FIELD_MANAGER);
        let params = if dry_run { params.dry_run() } else { params };
        let name = &spec.name;
        let claim = if volume.apply {
            let request = ApiOperation::apply("persistentvolumeclaims");
            let claim = &objects.claim;
            Some(
                self.patch::<PersistentVolumeClaim>(name, claim, &params, request)
                    .await?,
            )
        } else {
            None
        };
        let request = ApiOperation::apply("configmaps");
        let config = self
            .patch::<ConfigMap>(name, &objects.config, &params, request)
            .await?;
        let request = ApiOperation::apply("deployments").group("apps");
        let deployment = self
            .patch::<Deployment>(name, &objects.deployment, &params, request)
            .await?;
        if state::is_user_namespace_dropped(&objects.deployment, &deployment) {
            return Err(no_user_namespaces(self).into());
        }
        Ok(LiveObjects {
            config: Some(config),
            claim,
            deployment: Some(deployment),
        })
    }

    /// Returns an untyped client for a kind. A typed client drops the fields that its type does not have.
    pub(super) fn untyped<K: NamespacedObject>(&self) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<K>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    /// Applies an object and returns the result as the server has it.
    async fn patch<K: NamespacedObject>(
        &self,
        name: &str,
        object: &(impl Serialize + std::fmt::Debug),
        params: &PatchParams,
        operation: ApiOperation,
    ) -> Result<Value, ClusterError> {
        let api = self.untyped::<K>();
        let patch = Patch::Apply(object);
        let patched = self.retrier.run(|| async {
            // Of two jobs that change the same object at once, one gets a 409 and retries.
            let patched = self
                .with_timeout(&operation, api.patch(name, params, &patch))
                .await?;
            patched.map_err(|error| match error {
                Error::Api(status) if error::is_field_conflict(&status) => {
                    field_conflict(self, name, &status.message).into()
                }
                error => self.attempt_error(&error, &operation),
            })
        });
        Ok(json(&patched.await?)?)
    }

    /// Applies an agent's objects, and repeats that until the ConfigMap on the server belongs to the Deployment on the
    /// server. Another job may have written either of them.
    pub(super) async fn apply_until_consistent(
        &self,
        spec: &Spec,
        objects: &Objects,
        volume: &VolumePlan,
    ) -> Result<(), ClusterError> {
        for _ in 0..MAX_ROUNDS {
            self.apply(spec, objects, volume, false).await?;
            if self.has_config(&spec.name, objects).await? {
                return Ok(());
            }
            // Another job has written its ConfigMap and is about to write its Deployment. The sleep is random so that
            // two jobs do not overwrite each other forever.
            let random = RandomState::new().hash_one(()) % 100;
            tokio::time::sleep(Duration::from_millis(20 + random)).await;
            let live = self.get_raw::<Deployment>(&spec.name).await?;
            if live.is_none_or(|live| !same_configuration(&objects.deployment, &live)) {
                return Ok(());
            }
            tracing::debug!("the ConfigMap {} does not belong to its Deployment", spec.name);
        }
        // Something other than a job changes the ConfigMap in each round.
        Ok(())
    }

    /// Repairs the ConfigMap of an agent whose Deployment matches the inputs: a job with other inputs that was killed
    /// before it wrote its Deployment has left its ConfigMap. Returns whether the ConfigMap was changed.
    pub async fn repair_config_map(
        &self,
        spec: &Spec,
        deployment: &Deployment,
    ) -> Result<bool, ClusterError> {
        let Some(size) = state::configured_volume_size(deployment) else {
            return Ok(false);
        };
        let objects = Objects::new(spec, size)?;
        // Without retries: a job with a working agent does not wait for this.
        let (api, operation) = (self.api::<ConfigMap>(), ApiOperation::on::<ConfigMap>("get"));
        let live = self.request_once(&operation, api.get_opt(&spec.name)).await;
        if config_matches(live.map_err(|failed| failed.error)?, &objects) {
            return Ok(false);
        }
        self.apply_until_consistent(spec, &objects, &VolumePlan { apply: false, size })
            .await?;
        Ok(true)
    }

    /// Returns whether the ConfigMap on the server has the agent's configuration.
    async fn has_config(&self, name: &str, objects: &Objects) -> Result<bool, ClusterError> {
        Ok(config_matches(self.get::<ConfigMap>(name).await?, objects))
    }

    /// Returns the inputs with which this agent was deployed, if it exists now. Waits for the Deployment while only a
    /// claim exists.
    async fn inputs_of_another_job(&self, spec: &Spec) -> Option<JobInputs> {
        let ours = Objects::new(spec, spec.storage_bytes).ok()?;
        for _ in 0..POLLS {
            if let Some(live) = self.get_raw::<Deployment>(&spec.name).await.ok()? {
                return Some(if same_inputs(&ours.deployment, &live) {
                    JobInputs::Same
                } else {
                    JobInputs::Different
                });
            }
            self.get::<PersistentVolumeClaim>(&spec.name).await.ok()??;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        None
    }
}

/// Returns whether a ConfigMap has the agent's configuration. Other keys are ignored.
fn config_matches(live: Option<ConfigMap>, objects: &Objects) -> bool {
    let live = live.and_then(|live| live.data).unwrap_or_default();
    let mut ours = objects.config.data.iter().flatten();
    ours.all(|(key, text)| live.get(key) == Some(text))
}

/// Converts an object to JSON.
pub(super) fn json(object: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_value(object).context("cannot convert the object to JSON")
}

fn field_conflict(cluster: &Cluster, name: &str, message: &str) -> Problem {
    Problem::new(
        ErrorCode::FieldManagerConflict,
        format!(
            "Cannot apply the agent {}/{name}: {message}. Another tool, or a user with kubectl, manages these fields.",
            cluster.namespace
        ),
        "Choose another `name`, or set these fields to their existing values, or take them over, with all your inputs as FLAGS: \
         remote-buildkit manifests FLAGS | kubectl apply --server-side --field-manager=remote-buildkit --force-conflicts -f -",
    )
}

fn no_user_namespaces(cluster: &Cluster) -> Problem {
    Problem::new(
        ErrorCode::NoUserNamespaces,
        format!(
            "API server {} dropped the field `hostUsers: false` of the agent's pod.",
            cluster.server
        ),
        "Set `isolation: rootless`, or upgrade the cluster: `isolation: user-namespace` requires Kubernetes 1.33 or newer.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_apply() {
        let errors = Cluster::with_example(|cluster| {
            let message = "Apply failed with 1 conflict: conflict with \"helm\": .spec.replicas";
            [
                field_conflict(cluster, "agent", message).to_string(),
                no_user_namespaces(cluster).to_string(),
            ]
        });
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
