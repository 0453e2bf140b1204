//! Applies an agent's objects with server-side apply.

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::Error;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde::Serialize;
use serde_json::Value;

use super::error::{self, ApiOperation};
use super::{Cluster, Object};
use crate::agent::manifests::Objects;
use crate::agent::volume::{self, VolumePlan};
use crate::agent::{self, Spec, state};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// An agent's objects on the server, or as a dry run would make them, with all their fields.
#[derive(Debug, Default)]
pub(super) struct LiveObjects {
    pub(super) config: Option<Value>,
    pub(super) claim: Option<Value>,
    pub(super) deployment: Option<Value>,
}

impl Cluster {
    /// Applies claim, ConfigMap and Deployment after a dry run of all of them, so that a rejected one leaves nothing behind. An
    /// existing claim keeps its size and its cache, and the configuration is made for that size.
    pub async fn deploy(&self, spec: &Spec) -> anyhow::Result<()> {
        match self.deploy_absent(spec).await {
            // The claim of another job, with other inputs, may be the reason.
            Err(_) if self.is_deployed_by_another_job(spec).await => Ok(()),
            deployed => deployed,
        }
    }

    async fn deploy_absent(&self, spec: &Spec) -> anyhow::Result<()> {
        let (objects, volume) = self.dry_run(spec).await?;
        // Another job may have been faster, with other inputs: leave its agent unchanged.
        if self.deployment(&spec.name).await?.is_some() {
            return Ok(());
        }
        self.apply_until_consistent(spec, &objects, &volume).await
    }

    /// Checks by a dry run that the server would accept an agent.
    pub async fn dry_run_deploy(&self, spec: &Spec) -> anyhow::Result<()> {
        self.dry_run(spec).await.map(drop)
    }

    async fn dry_run(&self, spec: &Spec) -> anyhow::Result<(Objects, VolumePlan)> {
        self.check_config_owner(spec).await?;
        let claim = self.get::<PersistentVolumeClaim>(&spec.name).await?;
        let volume = volume::plan_for_new_agent(spec, claim.as_ref());
        let objects = Objects::new(spec, volume.size)?;
        self.apply(spec, &objects, &volume, true).await?;
        Ok((objects, volume))
    }

    /// Returns an error if a ConfigMap of this name has another owner. Server-side apply reports no conflict if its keys differ
    /// from the agent's.
    pub(super) async fn check_config_owner(&self, spec: &Spec) -> anyhow::Result<()> {
        let config = self.get::<ConfigMap>(&spec.name).await?;
        if config.is_none_or(|config| state::is_ours(&config.metadata)) {
            return Ok(());
        }
        Err(Problem::new(
            ErrorCode::FieldManagerConflict,
            format!(
                "Cannot deploy the agent {0}/{1}: a ConfigMap {1} exists in that namespace and belongs to something else.",
                self.namespace, spec.name
            ),
            "Choose another `name`, or delete that ConfigMap.",
        )
        .into())
    }

    pub(super) async fn apply(
        &self,
        spec: &Spec,
        objects: &Objects,
        volume: &VolumePlan,
        dry_run: bool,
    ) -> anyhow::Result<LiveObjects> {
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

    /// Returns an untyped client for a kind. A typed one drops the fields that its type does not have.
    pub(super) fn untyped<K: Object>(&self) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<K>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    /// Applies an object and returns the result as the server has it.
    async fn patch<K: Object>(
        &self,
        name: &str,
        object: &(impl Serialize + std::fmt::Debug),
        params: &PatchParams,
        operation: ApiOperation,
    ) -> anyhow::Result<Value> {
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
        json(&patched.await?)
    }
}

pub(super) fn json(object: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_value(object).context("cannot convert the object to JSON")
}

fn field_conflict(cluster: &Cluster, name: &str, message: &str) -> Problem {
    Problem::new(
        ErrorCode::FieldManagerConflict,
        format!("Cannot apply the agent {}/{name}: {message}.", cluster.namespace),
        "Choose another `name`, set these fields to their existing values, or take the fields over: apply what remote-buildkit \
         manifests prints with kubectl apply --server-side --field-manager=remote-buildkit --force-conflicts. Another \
         tool, or a user with kubectl, manages these fields.",
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
