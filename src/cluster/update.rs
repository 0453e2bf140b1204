//! Bringing an agent up to date.

use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};

use super::Cluster;
use super::apply::Found;
use crate::agent::manifests::Objects;
use crate::agent::volume::{self, VolumeConflict, VolumePlan};
use crate::agent::{Spec, changes, state};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// What bringing an agent up to date would change, seen by the server in a dry run.
#[derive(Debug)]
pub struct Update {
    /// As `kubectl diff` shows it; empty when nothing changes.
    pub diff: String,
    /// Whether the pod is replaced.
    pub restarts: bool,
    objects: Objects,
    volume: VolumePlan,
}

impl Cluster {
    /// What the server would make of an agent of ours that is there.
    pub async fn preview(&self, spec: &Spec, deployment: &Deployment) -> anyhow::Result<Update> {
        check_isolation(spec, deployment)?;
        self.check_config(spec).await?;
        let claim = self.get::<PersistentVolumeClaim>(&spec.name).await?;
        let configured = state::configured_volume_size(deployment);
        let volume = volume::plan_for_update(spec, claim.as_ref(), configured)
            .map_err(|conflict| impossible(spec, &conflict))?;
        let objects = Objects::new(spec, volume.size)?;
        let before = self.found(&spec.name).await?;
        let after = self.apply(spec, &objects, &volume, true).await?;
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
            restarts: templates.is_some_and(|(before, after)| changes::replaces_pod(&before, &after)),
            objects,
            volume,
        })
    }

    /// Makes a preview come true. Returns when the pods that it replaces are on their way out: whoever looks for a ready
    /// one then finds a new one.
    pub async fn update(&self, spec: &Spec, update: &Update, deadline: Instant) -> anyhow::Result<()> {
        let before = self.pods(&spec.name).await?;
        self.put(spec, &update.objects, &update.volume).await?;
        if update.restarts {
            self.wait_replaced(spec, &before, deadline).await?;
        }
        Ok(())
    }

    async fn wait_replaced(&self, spec: &Spec, before: &[Pod], deadline: Instant) -> anyhow::Result<()> {
        let is_old = |pod: &Pod| before.iter().any(|old| old.metadata.uid == pod.metadata.uid);
        loop {
            let pods = self.pods(&spec.name).await?;
            if !pods.iter().any(|pod| is_old(pod) && state::is_active(pod)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(not_replaced(self, spec).into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn found(&self, name: &str) -> anyhow::Result<Found> {
        Ok(Found {
            config: self.whole::<ConfigMap>(name).await?,
            claim: self.whole::<PersistentVolumeClaim>(name).await?,
            deployment: self.whole::<Deployment>(name).await?,
        })
    }
}

/// Files of a privileged agent are root's, and a rootless one could not write a single one of them.
fn check_isolation(spec: &Spec, deployment: &Deployment) -> anyhow::Result<()> {
    let template = deployment.spec.as_ref().context("a Deployment without a spec")?;
    let pod = Pod {
        spec: template.template.spec.clone(),
        ..Pod::default()
    };
    if state::cache_path(&pod).is_none_or(|path| path == spec.isolation.mount_path()) {
        return Ok(());
    }
    let Spec { name, namespace, .. } = spec;
    Err(Problem::new(
        ErrorCode::IsolationImmutable,
        format!(
            "The input is `isolation: {}`, and the volume of the agent {namespace}/{name} was written by one that is \
             {}rootless: its files belong to another user.",
            spec.isolation.name(),
            if spec.isolation.is_rootless() { "not " } else { "" }
        ),
        "Choose another `name`, or remove the agent with its cache: remote-buildkit destroy --volumes.",
    )
    .into())
}

fn impossible(spec: &Spec, conflict: &VolumeConflict) -> Problem {
    let Spec { name, namespace, .. } = spec;
    match conflict {
        VolumeConflict::Shrink { current: has } => Problem::new(
            ErrorCode::VolumeCannotShrink,
            format!(
                "The input is `storage: {}`, and the claim {namespace}/{name} has {has}; volumes only grow.",
                spec.storage
            ),
            format!(
                "Set `storage: {has}`; for a smaller volume, and an empty cache, remove the agent first: \
                 remote-buildkit destroy --volumes."
            ),
        ),
        VolumeConflict::StorageClass { current: has } => Problem::new(
            ErrorCode::StorageClassImmutable,
            format!(
                "The input is `storage-class: {}`, and the claim {namespace}/{name} has {has}; a claim keeps its class.",
                spec.storage_class.as_deref().unwrap_or_default()
            ),
            format!(
                "Set `storage-class: {has}`; for another one, and an empty cache, remove the agent first: \
                 remote-buildkit destroy --volumes."
            ),
        ),
    }
}

fn not_replaced(cluster: &Cluster, spec: &Spec) -> Problem {
    let namespace = &cluster.namespace;
    Problem::new(
        ErrorCode::RolloutStuck,
        format!(
            "Brought the agent {namespace}/{0} up to date, and until the timeout its controller did not begin to replace \
             its pod.",
            spec.name
        ),
        format!("See kubectl -n {namespace} describe deployment {}.", spec.name),
    )
}
