//! Updates an existing agent to the inputs.

use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};

use super::Cluster;
use super::apply::LiveObjects;
use super::error::ClusterError;
use crate::agent::manifests::Objects;
use crate::agent::volume::{self, VolumeConflict, VolumePlan};
use crate::agent::{Spec, changes, state};
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// What an update of an agent would change, from the server's dry run.
#[derive(Debug)]
pub struct Update {
    /// The changes in the format of `kubectl diff`; empty if nothing changes.
    pub diff: String,
    /// Whether the pod is replaced.
    pub restarts: bool,
    objects: Objects,
    volume: VolumePlan,
}

impl Cluster {
    /// Returns what an update of an existing agent would change. Changes nothing.
    pub async fn preview(&self, spec: &Spec, deployment: &Deployment) -> Result<Update, ClusterError> {
        check_isolation(spec, deployment)?;
        self.check_config_owner(spec).await?;
        let claim = self.get::<PersistentVolumeClaim>(&spec.name).await?;
        let configured = state::configured_volume_size(deployment);
        let volume = volume::plan_for_update(spec, claim.as_ref(), configured)
            .map_err(|conflict| volume_error(spec, &conflict))?;
        let objects = Objects::new(spec, volume.size)?;
        let before = self.live_objects(&spec.name).await?;
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

    /// Applies a previewed update. Returns when the pods that it replaces are terminating, so that the next ready pod
    /// is a new one.
    pub async fn update(&self, spec: &Spec, update: &Update, deadline: Instant) -> Result<(), ClusterError> {
        let before = self.pods(&spec.name).await?;
        self.apply_until_consistent(spec, &update.objects, &update.volume)
            .await?;
        if update.restarts {
            self.wait_replaced(spec, &before, deadline).await?;
        }
        Ok(())
    }

    /// Waits until none of the pods is active.
    async fn wait_replaced(
        &self,
        spec: &Spec,
        before: &[Pod],
        deadline: Instant,
    ) -> Result<(), ClusterError> {
        let is_old = |pod: &Pod| before.iter().any(|old| old.metadata.uid == pod.metadata.uid);
        loop {
            let pods = self.pods(&spec.name).await?;
            if !pods.iter().any(|pod| is_old(pod) && state::is_active(pod)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(rollout_stuck(self, spec).into());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn live_objects(&self, name: &str) -> Result<LiveObjects, ClusterError> {
        Ok(LiveObjects {
            config: self.get_raw::<ConfigMap>(name).await?,
            claim: self.get_raw::<PersistentVolumeClaim>(name).await?,
            deployment: self.get_raw::<Deployment>(name).await?,
        })
    }
}

/// Returns an error if the volume was written with another isolation: files of a privileged agent belong to root, and a
/// rootless agent cannot write them.
fn check_isolation(spec: &Spec, deployment: &Deployment) -> Result<(), ClusterError> {
    let template = deployment.spec.as_ref().context("the Deployment has no spec")?;
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
            "Cannot set `isolation: {}`: the volume of the agent {namespace}/{name} was written by an agent that is \
             {}rootless, so its files belong to another user.",
            spec.isolation.name(),
            if spec.isolation.is_rootless() { "not " } else { "" }
        ),
        "Choose another `name`, or remove the agent and its cache: remote-buildkit destroy --volumes.",
    )
    .into())
}

fn volume_error(spec: &Spec, conflict: &VolumeConflict) -> Problem {
    let Spec { name, namespace, .. } = spec;
    match conflict {
        VolumeConflict::Shrink { current: has } => Problem::new(
            ErrorCode::VolumeCannotShrink,
            format!(
                "Cannot set `storage: {}`: the claim {namespace}/{name} has {has}, and volumes only grow.",
                spec.storage
            ),
            format!(
                "Set `storage: {has}`. For a smaller volume, with an empty cache, remove the agent first: \
                 remote-buildkit destroy --volumes."
            ),
        ),
        VolumeConflict::StorageClass { current: has } => Problem::new(
            ErrorCode::StorageClassImmutable,
            format!(
                "Cannot set `storage-class: {}`: the claim {namespace}/{name} has {has}, and the class of a claim is immutable.",
                spec.storage_class.as_deref().unwrap_or_default()
            ),
            format!(
                "Set `storage-class: {has}`. For another class, with an empty cache, remove the agent first: \
                 remote-buildkit destroy --volumes."
            ),
        ),
    }
}

fn rollout_stuck(cluster: &Cluster, spec: &Spec) -> Problem {
    let namespace = &cluster.namespace;
    Problem::new(
        ErrorCode::RolloutStuck,
        format!(
            "Updated the Deployment of the agent {namespace}/{0}, but its controller did not start to replace the pod within \
             the timeout.",
            spec.name
        ),
        format!(
            "Run kubectl -n {namespace} describe deployment {} to see why.",
            spec.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::agent::isolation::Isolation;

    #[test]
    fn errors_of_an_update() {
        let spec = Spec {
            storage_class: Some("gp3".into()),
            ..Spec::example()
        };
        let has = |current: &str| current.to_owned();
        let mut errors = vec![
            volume_error(
                &spec,
                &VolumeConflict::Shrink {
                    current: has("100Gi"),
                },
            )
            .to_string(),
            volume_error(&spec, &VolumeConflict::StorageClass { current: has("gp2") }).to_string(),
            Cluster::with_example(|cluster| rollout_stuck(cluster, &spec).to_string()),
        ];
        let privileged: Deployment = serde_json::from_value(json!({"spec": {"selector": {}, "template": {"spec": {
            "containers": [{"name": "buildkitd", "volumeMounts": [{"name": "cache", "mountPath": "/var/lib/buildkit"}]}],
            "volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "agent"}}]}}}}))
        .expect("a Deployment");
        let rootless = Spec {
            isolation: Isolation::Rootless,
            ..spec
        };
        let error = check_isolation(&rootless, &privileged).expect_err("a volume of another user");
        errors.push(anyhow::Error::from(error).to_string());
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
