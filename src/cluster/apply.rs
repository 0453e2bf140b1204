//! Server-side apply of an agent's objects.

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::Error;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde::Serialize;
use serde_json::Value;

use super::refusal::{self, Request};
use super::{Cluster, Object};
use crate::agent::manifests::Objects;
use crate::agent::volume::{self, VolumePlan};
use crate::agent::{self, Spec, state};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// What the server has, or would have, of an agent: all of it, whether this program knows the field or not.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) config: Option<Value>,
    pub(super) claim: Option<Value>,
    pub(super) deployment: Option<Value>,
}

impl Cluster {
    /// Applies claim, ConfigMap and Deployment, after the server has said that it would take all of them: what is
    /// refused leaves nothing half-made. A claim that exists keeps its size and its cache, and the configuration is
    /// made for it.
    pub async fn deploy(&self, spec: &Spec) -> anyhow::Result<()> {
        match self.make(spec).await {
            // The claim of another job, with other inputs, may have been in the way.
            Err(_) if self.made_by_another(spec).await => Ok(()),
            made => made,
        }
    }

    async fn make(&self, spec: &Spec) -> anyhow::Result<()> {
        let (objects, volume) = self.rehearse(spec).await?;
        // Another job may have been faster, with other inputs: its agent is left alone.
        if self.deployment(&spec.name).await?.is_some() {
            return Ok(());
        }
        self.put(spec, &objects, &volume).await
    }

    /// Whether the server would take an agent. Changes nothing.
    pub async fn would_deploy(&self, spec: &Spec) -> anyhow::Result<()> {
        self.rehearse(spec).await.map(drop)
    }

    async fn rehearse(&self, spec: &Spec) -> anyhow::Result<(Objects, VolumePlan)> {
        self.check_config(spec).await?;
        let claim = self.get::<PersistentVolumeClaim>(&spec.name).await?;
        let volume = volume::plan_for_new_agent(spec, claim.as_ref());
        let objects = Objects::new(spec, volume.size)?;
        self.apply(spec, &objects, &volume, true).await?;
        Ok((objects, volume))
    }

    /// Keeps somebody else's ConfigMap from becoming ours: with other keys than ours there would be no conflict.
    pub(super) async fn check_config(&self, spec: &Spec) -> anyhow::Result<()> {
        let config = self.get::<ConfigMap>(&spec.name).await?;
        if config.is_none_or(|config| state::is_ours(&config.metadata)) {
            return Ok(());
        }
        Err(Problem::new(
            ErrorCode::FieldManagerConflict,
            format!(
                "Looked whether the agent {0}/{1} can be deployed, and there is a ConfigMap {1} that was not made for it.",
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
    ) -> anyhow::Result<Found> {
        // Not forced: a field that somebody else owns is theirs.
        let params = PatchParams::apply(agent::FIELD_MANAGER);
        let params = if dry_run { params.dry_run() } else { params };
        let name = &spec.name;
        let claim = if volume.apply {
            let request = Request::apply("persistentvolumeclaims");
            let claim = &objects.claim;
            Some(
                self.patch::<PersistentVolumeClaim>(name, claim, &params, request)
                    .await?,
            )
        } else {
            None
        };
        let request = Request::apply("configmaps");
        let config = self
            .patch::<ConfigMap>(name, &objects.config, &params, request)
            .await?;
        let request = Request::apply("deployments").group("apps");
        let deployment = self
            .patch::<Deployment>(name, &objects.deployment, &params, request)
            .await?;
        if state::is_user_namespace_dropped(&objects.deployment, &deployment) {
            return Err(no_user_namespaces(self).into());
        }
        Ok(Found {
            config: Some(config),
            claim,
            deployment: Some(deployment),
        })
    }

    /// Any kind, as the server has it: a type of ours would leave out what it does not know.
    pub(super) fn untyped<K: Object>(&self) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<K>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    /// Applies an object and returns what the server made of it.
    async fn patch<K: Object>(
        &self,
        name: &str,
        object: &(impl Serialize + std::fmt::Debug),
        params: &PatchParams,
        request: Request,
    ) -> anyhow::Result<Value> {
        let api = self.untyped::<K>();
        let patch = Patch::Apply(object);
        let patched = self.retrier.run(|| async {
            // Two jobs that change the same object at once: one of them is told to come again.
            let patched = self.heard(&request, api.patch(name, params, &patch)).await?;
            patched.map_err(|error| match error {
                Error::Api(status) if refusal::is_conflict_of_fields(&status) => {
                    conflict(self, name, &status.message).into()
                }
                error => self.failed(&error, &request),
            })
        });
        json(&patched.await?)
    }
}

pub(super) fn json(object: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_value(object).context("reading what the server has")
}

fn conflict(cluster: &Cluster, name: &str, message: &str) -> Problem {
    Problem::new(
        ErrorCode::FieldManagerConflict,
        format!(
            "Applied the agent {}/{name} to the cluster and got: {message}.",
            cluster.namespace
        ),
        "Another tool, or somebody with kubectl, manages those fields: choose another `name`, set the inputs to what is \
         there, or take the fields back with what remote-buildkit manifests prints and kubectl apply --server-side \
         --field-manager=remote-buildkit --force-conflicts.",
    )
}

fn no_user_namespaces(cluster: &Cluster) -> Problem {
    Problem::new(
        ErrorCode::NoUserNamespaces,
        format!(
            "Asked the API server {} for a pod with `hostUsers: false`, and it left that field out.",
            cluster.server
        ),
        "`isolation: user-namespace` wants Kubernetes 1.33 or newer; set `isolation: rootless`, or upgrade.",
    )
}
