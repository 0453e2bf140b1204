//! Lists and deletes the objects of agents.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Error, ResourceExt};

use super::error::{ApiOperation, ClusterError};
use super::{Cluster, NamespacedObject};
use crate::agent::manifests::{INSTANCE, MANAGED_BY};

/// The objects that this program created for one input `name`.
#[derive(Debug, Default)]
pub struct OwnedObjects {
    pub deployments: Vec<ObjectRef>,
    pub configs: Vec<ObjectRef>,
    pub claims: Vec<ObjectRef>,
}

impl OwnedObjects {
    /// Returns whether there is nothing to delete.
    pub fn is_empty(&self, volumes: bool) -> bool {
        self.deployments.is_empty() && self.configs.is_empty() && (self.claims.is_empty() || !volumes)
    }
}

/// The name and UID of an object. The UID prevents the deletion of a later object of the same name.
#[derive(Debug)]
pub struct ObjectRef {
    pub name: String,
    uid: Option<String>,
}

impl Cluster {
    /// Lists the objects that this program created for one input `name`.
    pub async fn list_owned(&self, instance: &str) -> Result<OwnedObjects, ClusterError> {
        Ok(OwnedObjects {
            deployments: self.list_owned_kind::<Deployment>(instance).await?,
            configs: self.list_owned_kind::<ConfigMap>(instance).await?,
            claims: self.list_owned_kind::<PersistentVolumeClaim>(instance).await?,
        })
    }

    /// Deletes the objects: Deployments first, because their builds may still be ending, and claims last, only if `volumes`
    /// is set.
    pub async fn remove(&self, owned: &OwnedObjects, volumes: bool) -> Result<(), ClusterError> {
        for object in &owned.deployments {
            self.delete::<Deployment>(object).await?;
        }
        for object in &owned.configs {
            self.delete::<ConfigMap>(object).await?;
        }
        for object in owned.claims.iter().filter(|_| volumes) {
            self.delete::<PersistentVolumeClaim>(object).await?;
        }
        Ok(())
    }

    /// Lists the owned objects of one kind.
    async fn list_owned_kind<K: NamespacedObject>(
        &self,
        instance: &str,
    ) -> Result<Vec<ObjectRef>, ClusterError> {
        let (label, value) = MANAGED_BY;
        let selector = format!("{label}={value},{INSTANCE}={instance}");
        let (api, params) = (self.api::<K>(), ListParams::default().labels(&selector));
        let list = self
            .request(&ApiOperation::on::<K>("list"), || api.list(&params))
            .await?;
        let reference = |object: &K| ObjectRef {
            name: object.name_any(),
            uid: object.uid(),
        };
        Ok(list.items.iter().map(reference).collect())
    }

    /// Deletes an object. Already deleted is not an error.
    async fn delete<K: NamespacedObject>(&self, object: &ObjectRef) -> Result<(), ClusterError> {
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: object.uid.clone(),
            ..Preconditions::default()
        });
        let api = self.api::<K>();
        let request = ApiOperation::on::<K>("delete");
        let deleted = self.request(&request, || async {
            match api.delete(&object.name, &params).await {
                Ok(_) => Ok(()),
                // 409: another object has this name now.
                Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(error),
            }
        });
        deleted.await
    }
}
