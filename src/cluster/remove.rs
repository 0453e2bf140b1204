//! Removing agents.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Error, ResourceExt};

use super::refusal::Request;
use super::{Cluster, Object};
use crate::agent::manifests::{INSTANCE, MANAGED_BY};

/// What this program made for one input `name`.
#[derive(Debug, Default)]
pub struct Made {
    pub deployments: Vec<Thing>,
    pub configs: Vec<Thing>,
    pub claims: Vec<Thing>,
}

impl Made {
    /// Whether there is nothing to remove.
    pub fn is_empty(&self, volumes: bool) -> bool {
        self.deployments.is_empty() && self.configs.is_empty() && (self.claims.is_empty() || !volumes)
    }
}

/// An object, and not another one that gets its name later.
#[derive(Debug)]
pub struct Thing {
    pub name: String,
    uid: Option<String>,
}

impl Cluster {
    /// Looks for what this program made.
    pub async fn made(&self, instance: &str) -> anyhow::Result<Made> {
        Ok(Made {
            deployments: self.things::<Deployment>(instance).await?,
            configs: self.things::<ConfigMap>(instance).await?,
            claims: self.things::<PersistentVolumeClaim>(instance).await?,
        })
    }

    /// Deletes it: agents first, which goes on while their builds end, claims last and only if told.
    pub async fn remove(&self, made: &Made, volumes: bool) -> anyhow::Result<()> {
        for thing in &made.deployments {
            self.delete::<Deployment>(thing).await?;
        }
        for thing in &made.configs {
            self.delete::<ConfigMap>(thing).await?;
        }
        for thing in made.claims.iter().filter(|_| volumes) {
            self.delete::<PersistentVolumeClaim>(thing).await?;
        }
        Ok(())
    }

    async fn things<K: Object>(&self, instance: &str) -> anyhow::Result<Vec<Thing>> {
        let (label, value) = MANAGED_BY;
        let selector = format!("{label}={value},{INSTANCE}={instance}");
        let (api, params) = (self.api::<K>(), ListParams::default().labels(&selector));
        let list = self.ask(&Request::of::<K>("list"), || api.list(&params)).await?;
        let thing = |object: &K| Thing {
            name: object.name_any(),
            uid: object.uid(),
        };
        Ok(list.items.iter().map(thing).collect())
    }

    /// What has gone meanwhile is as it should be.
    async fn delete<K: Object>(&self, thing: &Thing) -> anyhow::Result<()> {
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: thing.uid.clone(),
            ..Preconditions::default()
        });
        let api = self.api::<K>();
        let request = Request::of::<K>("delete");
        let deleted = self.ask(&request, || async {
            match api.delete(&thing.name, &params).await {
                Ok(_) => Ok(()),
                // 409: another object has the name now.
                Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(error),
            }
        });
        deleted.await
    }
}
