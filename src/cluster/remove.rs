//! Removing agents.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams};
use kube::{Error, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::Cluster;
use super::refusal::Request;
use crate::agent::manifests::{INSTANCE, MANAGED_BY};

/// What this program made for one input `name`, by the names of the objects.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Made {
    pub deployments: Vec<String>,
    pub configs: Vec<String>,
    pub claims: Vec<String>,
}

impl Cluster {
    /// Looks for what this program made.
    pub async fn made(&self, instance: &str) -> anyhow::Result<Made> {
        Ok(Made {
            deployments: self.names::<Deployment>(instance).await?,
            configs: self.names::<ConfigMap>(instance).await?,
            claims: self.names::<PersistentVolumeClaim>(instance).await?,
        })
    }

    /// Deletes it: agents first, which goes on while their builds end, claims last and only if told.
    pub async fn remove(&self, made: &Made, volumes: bool) -> anyhow::Result<()> {
        for name in &made.deployments {
            self.delete::<Deployment>(name).await?;
        }
        for name in &made.configs {
            self.delete::<ConfigMap>(name).await?;
        }
        for name in made.claims.iter().filter(|_| volumes) {
            self.delete::<PersistentVolumeClaim>(name).await?;
        }
        Ok(())
    }

    async fn names<K>(&self, instance: &str) -> anyhow::Result<Vec<String>>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + k8s_openapi::Resource
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        let (label, value) = MANAGED_BY;
        let selector = format!("{label}={value},{INSTANCE}={instance}");
        let list = self
            .api::<K>()
            .list(&ListParams::default().labels(&selector))
            .await;
        let list = list.map_err(|e| self.refused(&e, &request::<K>("list")))?;
        Ok(list.items.iter().map(ResourceExt::name_any).collect())
    }

    /// What has gone meanwhile is as it should be.
    async fn delete<K>(&self, name: &str) -> anyhow::Result<()>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + k8s_openapi::Resource
            + DeserializeOwned
            + Clone
            + std::fmt::Debug,
    {
        match self.api::<K>().delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.refused(&error, &request::<K>("delete"))),
        }
    }
}

fn request<K: k8s_openapi::Resource>(verb: &'static str) -> Request {
    Request::new(verb, K::URL_PATH_SEGMENT).group(K::GROUP)
}
