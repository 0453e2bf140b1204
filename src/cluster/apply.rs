//! Deploying the agent, by server-side apply.

use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Error;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Cluster;
use super::refusal::Request;
use crate::agent::{self, Spec, manifests, state};
use crate::problem::Problem;

impl Cluster {
    /// Applies ConfigMap, claim and Deployment, after the server has said that it would take all of them: what is
    /// refused leaves nothing half-made. A claim that exists keeps its size and its cache, and the configuration is
    /// made for it.
    pub async fn deploy(&self, spec: &Spec) -> anyhow::Result<()> {
        let request = Request::new("get", "persistentvolumeclaims");
        let claim = self.api::<PersistentVolumeClaim>().get_opt(&spec.name).await;
        let claim = claim.map_err(|e| self.refused(&e, &request))?;
        // Not forced: a field that somebody else owns is theirs.
        let params = PatchParams::apply(agent::FIELD_MANAGER);
        self.apply_all(spec, claim.as_ref(), &params.clone().dry_run())
            .await?;
        // Another job may have been faster, with other inputs: its agent is left alone.
        if self.deployment(&spec.name).await?.is_some() {
            return Ok(());
        }
        self.apply_all(spec, claim.as_ref(), &params).await
    }

    async fn apply_all(
        &self,
        spec: &Spec,
        claim: Option<&PersistentVolumeClaim>,
        params: &PatchParams,
    ) -> anyhow::Result<()> {
        let volume = claim.and_then(state::capacity).unwrap_or(spec.storage_bytes);
        let config = manifests::config_map(spec, volume)?;
        self.apply(&spec.name, &config, params, Request::apply("configmaps"))
            .await?;
        if claim.is_none() {
            let request = Request::apply("persistentvolumeclaims");
            self.apply(&spec.name, &manifests::volume_claim(spec), params, request)
                .await?;
        }
        let request = Request::apply("deployments").group("apps");
        self.apply(&spec.name, &manifests::deployment(spec), params, request)
            .await
    }

    async fn apply<K>(
        &self,
        name: &str,
        object: &K,
        params: &PatchParams,
        request: Request,
    ) -> anyhow::Result<()>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Serialize
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let api = self.api::<K>();
        let mut attempts: u32 = 0;
        loop {
            let patched = api.patch(name, params, &Patch::Apply(object)).await;
            let error = match patched {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let Error::Api(status) = &error else {
                return Err(self.refused(&error, &request));
            };
            let causes = status.details.iter().flat_map(|d| &d.causes);
            if causes.into_iter().any(|c| c.reason == "FieldManagerConflict") {
                return Err(Problem::new(
                    "Object of somebody else",
                    format!(
                        "Applied the agent {}/{name} to the cluster and got: {}.",
                        self.namespace, status.message
                    ),
                    "An object of that name exists and is managed by another tool; choose another `name`.",
                )
                .into());
            }
            // Two jobs that create or change the same object at once: one of them is told to come again.
            attempts += 1;
            if status.code == 409 && attempts < 10 {
                tokio::time::sleep(Duration::from_millis(50) * attempts).await;
                continue;
            }
            return Err(self.refused(&error, &request));
        }
    }
}
