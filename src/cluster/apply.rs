//! Deploying an agent and bringing it up to date, by server-side apply.

use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::Error;
use kube::api::{Patch, PatchParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Cluster;
use super::refusal::Request;
use crate::agent::manifests::Objects;
use crate::agent::volume::{self, Volume};
use crate::agent::{self, Spec, changes, state};
use crate::problem::Problem;

/// What bringing an agent up to date would change, seen by the server in a dry run.
#[derive(Debug)]
pub struct Update {
    /// As `kubectl diff` shows it; empty when nothing changes.
    pub diff: String,
    /// Whether the pod is replaced.
    pub restarts: bool,
    objects: Objects,
    volume: Volume,
}

/// What the server has, or would have, of an agent.
#[derive(Debug, Default)]
struct Found {
    config: Option<Value>,
    claim: Option<Value>,
    deployment: Option<Value>,
}

impl Cluster {
    /// Applies ConfigMap, claim and Deployment, after the server has said that it would take all of them: what is
    /// refused leaves nothing half-made. A claim that exists keeps its size and its cache, and the configuration is
    /// made for it.
    pub async fn deploy(&self, spec: &Spec) -> anyhow::Result<()> {
        let claim = self.get::<PersistentVolumeClaim>(&spec.name).await?;
        let volume = volume::kept(spec, claim.as_ref());
        let objects = Objects::new(spec, volume.size)?;
        self.apply(spec, &objects, &volume, true).await?;
        // Another job may have been faster, with other inputs: its agent is left alone.
        if self.deployment(&spec.name).await?.is_some() {
            return Ok(());
        }
        self.apply(spec, &objects, &volume, false).await?;
        Ok(())
    }

    /// What the server would make of an agent of ours that is there.
    pub async fn preview(&self, spec: &Spec, deployment: &Deployment) -> anyhow::Result<Update> {
        let config = self.get::<ConfigMap>(&spec.name).await?;
        let claim = self.get::<PersistentVolumeClaim>(&spec.name).await?;
        let volume = volume::grown(spec, claim.as_ref()).map_err(|smaller| cannot_shrink(spec, &smaller))?;
        let objects = Objects::new(spec, volume.size)?;
        let after = self.apply(spec, &objects, &volume, true).await?;
        let before = Found {
            config: config.map(|c| json(&c)).transpose()?,
            claim: claim.map(|c| json(&c)).transpose()?,
            deployment: Some(json(deployment)?),
        };
        let mut diff = String::new();
        for (kind, before, after) in [
            ("ConfigMap", &before.config, &after.config),
            ("PersistentVolumeClaim", &before.claim, &after.claim),
            ("Deployment", &before.deployment, &after.deployment),
        ] {
            let title = format!("{kind} {}", spec.name);
            let changed = after
                .as_ref()
                .map(|after| changes::diff(&title, before.as_ref(), after));
            diff.extend(changed.transpose()?.flatten());
        }
        let templates = before.deployment.zip(after.deployment);
        Ok(Update {
            diff,
            restarts: templates.is_some_and(|(before, after)| changes::restarts(&before, &after)),
            objects,
            volume,
        })
    }

    /// Makes a preview come true. Returns when the pods that it replaces are on their way out: whoever looks for a ready
    /// one then finds a new one.
    pub async fn update(&self, spec: &Spec, update: &Update, deadline: Instant) -> anyhow::Result<()> {
        let before = self.pods(&spec.name).await?;
        self.apply(spec, &update.objects, &update.volume, false).await?;
        if !update.restarts {
            return Ok(());
        }
        let is_old = |pod: &Pod| before.iter().any(|old| old.metadata.uid == pod.metadata.uid);
        while Instant::now() < deadline {
            let pods = self.pods(&spec.name).await?;
            if !pods.iter().any(|pod| is_old(pod) && state::stays(pod)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn apply(
        &self,
        spec: &Spec,
        objects: &Objects,
        volume: &Volume,
        dry_run: bool,
    ) -> anyhow::Result<Found> {
        // Not forced: a field that somebody else owns is theirs.
        let params = PatchParams::apply(agent::FIELD_MANAGER);
        let params = if dry_run { params.dry_run() } else { params };
        let name = &spec.name;
        let request = Request::apply("configmaps");
        let config = self
            .patch::<ConfigMap>(name, &objects.config, &params, request)
            .await?;
        let claim = if volume.apply {
            let request = Request::apply("persistentvolumeclaims");
            Some(
                self.patch::<PersistentVolumeClaim>(name, &objects.claim, &params, request)
                    .await?,
            )
        } else {
            None
        };
        let request = Request::apply("deployments").group("apps");
        let deployment = self
            .patch::<Deployment>(name, &objects.deployment, &params, request)
            .await?;
        if state::lost_user_namespace(&objects.deployment, &deployment) {
            return Err(no_user_namespaces(self).into());
        }
        Ok(Found {
            config: Some(config),
            claim,
            deployment: Some(deployment),
        })
    }

    /// Applies an object and returns what the server made of it.
    async fn patch<K>(
        &self,
        name: &str,
        object: &(impl Serialize + std::fmt::Debug),
        params: &PatchParams,
        request: Request,
    ) -> anyhow::Result<Value>
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
                Ok(object) => return json(&object),
                Err(error) => error,
            };
            let Error::Api(status) = &error else {
                return Err(self.refused(&error, &request));
            };
            let causes = status.details.iter().flat_map(|d| &d.causes);
            if causes.into_iter().any(|c| c.reason == "FieldManagerConflict") {
                return Err(conflict(self, name, &status.message).into());
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

fn json(object: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_value(object).context("reading what the server has")
}

fn conflict(cluster: &Cluster, name: &str, message: &str) -> Problem {
    Problem::new(
        "Object of somebody else",
        format!(
            "Applied the agent {}/{name} to the cluster and got: {message}.",
            cluster.namespace
        ),
        "Another tool, or somebody with kubectl, manages those fields: choose another `name`, set the inputs to what is \
         there, or take the fields back with what remote-buildkit manifests prints and kubectl apply --server-side \
         --field-manager=remote-buildkit --force-conflicts.",
    )
}

fn cannot_shrink(spec: &Spec, smaller: &volume::Smaller) -> Problem {
    let Spec { name, namespace, .. } = spec;
    let (asked, has) = (&spec.storage, &smaller.has);
    Problem::new(
        "Volume cannot shrink",
        format!(
            "The input is `storage: {asked}`, and the claim {namespace}/{name} has {has}; volumes only grow."
        ),
        format!(
            "Set `storage: {has}`; for a smaller volume, and an empty cache, remove the agent first: remote-buildkit \
             destroy --volumes."
        ),
    )
}

fn no_user_namespaces(cluster: &Cluster) -> Problem {
    Problem::new(
        "No user namespaces",
        format!(
            "Asked the API server {} for a pod with `hostUsers: false`, and it left that field out.",
            cluster.server
        ),
        "`isolation: user-namespace` wants Kubernetes 1.33 or newer; set `isolation: rootless`, or upgrade.",
    )
}
