//! Deploying the agent, by server-side apply.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::Error;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Cluster;
use super::refusal::Request;
use crate::agent::{self, Spec, manifests, state};
use crate::problem::Problem;

impl Cluster {
    /// Applies ConfigMap, claim and Deployment. A claim that exists keeps its size and its cache, and the
    /// configuration is made for it.
    pub async fn deploy(&self, spec: &Spec) -> anyhow::Result<()> {
        let claims = self.api::<PersistentVolumeClaim>();
        let request = Request::new("get", "persistentvolumeclaims");
        let existing = claims.get_opt(&spec.name).await;
        let existing = existing.map_err(|e| self.refused(&e, &request))?;
        let volume = existing.as_ref().and_then(state::capacity);
        let config = manifests::config_map(spec, volume.unwrap_or(spec.storage_bytes))?;
        let configs = self.api::<ConfigMap>();
        self.apply(&configs, spec, &config, Request::new("patch", "configmaps"))
            .await?;
        if existing.is_none() {
            let request = Request::new("patch", "persistentvolumeclaims");
            self.apply(&claims, spec, &manifests::volume_claim(spec), request)
                .await?;
        }
        let request = Request::new("patch", "deployments").group("apps");
        let deployments = self.api::<Deployment>();
        self.apply(&deployments, spec, &manifests::deployment(spec), request)
            .await
    }

    async fn apply<K>(&self, api: &Api<K>, spec: &Spec, object: &K, request: Request) -> anyhow::Result<()>
    where
        K: Serialize + DeserializeOwned + Clone + std::fmt::Debug,
    {
        // Not forced: a field that somebody else owns is theirs.
        let params = PatchParams::apply(agent::FIELD_MANAGER);
        let mut attempts = 0;
        loop {
            let patched = api.patch(&spec.name, &params, &Patch::Apply(object)).await;
            let error = match patched {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            // Two jobs that create the same object at once: one of them is told that it exists.
            let raced = matches!(&error, Error::Api(s) if s.code == 409 && s.reason == "AlreadyExists");
            attempts += 1;
            if raced && attempts < 5 {
                continue;
            }
            if matches!(&error, Error::Api(s) if s.code == 409) {
                return Err(Problem::new(
                    "Object of somebody else",
                    format!(
                        "Applied the agent {}/{} to the cluster and got: {error}.",
                        self.namespace, spec.name
                    ),
                    "An object of that name exists and is managed by another tool; choose another `name`.",
                )
                .into());
            }
            return Err(self.refused(&error, &request));
        }
    }
}
