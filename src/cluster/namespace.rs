//! Creates and deletes the agent's namespace.

use std::time::{Duration, Instant};

use anyhow::Context;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Error, ResourceExt};

use super::error::{ApiOperation, ClusterError};
use super::{Cluster, Lookup};
use crate::agent::manifests::MANAGED_BY;
use crate::setup::kubernetes;

const fn operation(verb: &'static str) -> ApiOperation {
    ApiOperation::new(verb, "namespaces").cluster_scoped()
}

/// How often to read a namespace that is being deleted.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long to wait for the default service account of a new namespace. A controller creates it within a second.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// The metadata of a namespace.
#[derive(Debug)]
pub struct NamespaceInfo(ObjectMeta);

impl NamespaceInfo {
    /// Returns the value of a label, if this program created the namespace.
    pub fn own_label(&self, name: &str) -> Option<&str> {
        let labels = self.0.labels.as_ref()?;
        let (label, value) = MANAGED_BY;
        (labels.get(label).is_some_and(|found| found == value))
            .then(|| labels.get(name).map(String::as_str))
            .flatten()
    }
}

impl Cluster {
    fn namespaces(&self) -> Api<Namespace> {
        Api::all(self.client.clone())
    }

    /// Returns the agent's namespace, if it exists.
    pub async fn namespace(&self) -> Result<Option<NamespaceInfo>, ClusterError> {
        let (api, operation) = (self.namespaces(), operation("get"));
        let found = self.request(&operation, || api.get_opt(&self.namespace));
        Ok(found.await?.map(|found| NamespaceInfo(found.metadata)))
    }

    /// Creates the agent's namespace with these labels, in addition to those that `setup` gives it. That the namespace exists is
    /// no error, because a retried request may have created it: the caller reads its labels.
    pub async fn create_namespace(&self, labels: &[(&str, &str)]) -> Result<(), ClusterError> {
        let namespace = kubernetes::namespace(&self.namespace);
        let mut namespace: Namespace = serde_json::from_value(namespace).context("reading a manifest")?;
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        namespace.labels_mut().extend(labels);
        let (api, params) = (self.namespaces(), PostParams::default());
        let operation = operation("create");
        let created = self.request(&operation, || async {
            match api.create(&params, &namespace).await {
                Ok(_) => Ok(()),
                Err(Error::Api(status)) if status.code == 409 => Ok(()),
                Err(error) => Err(error),
            }
        });
        created.await
    }

    /// Waits until pods can be created in a new namespace: until its default service account exists.
    pub async fn wait_for_service_account(&self) -> Result<(), ClusterError> {
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/default", self.namespace);
        let deadline = Instant::now() + ACCOUNT_TIMEOUT;
        while Instant::now() < deadline {
            let operation = ApiOperation::new("get", "serviceaccounts");
            // Without the permission to read it, the agent's own wait has to do.
            if self.read(&operation, &path).await? != Lookup::NotFound {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Deletes this namespace with everything in it, and waits until it is gone. Already deleted is not an error.
    pub async fn delete_namespace(&self, found: &NamespaceInfo) -> Result<(), ClusterError> {
        // The UID prevents the deletion of a later namespace of the same name.
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: found.0.uid.clone(),
            ..Preconditions::default()
        });
        let (api, operation) = (self.namespaces(), operation("delete"));
        let deleted = self.request(&operation, || async {
            match api.delete(&self.namespace, &params).await {
                Ok(_) => Ok(()),
                Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(error),
            }
        });
        deleted.await?;
        while self
            .namespace()
            .await?
            .is_some_and(|left| left.0.uid == found.0.uid)
        {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_counts_only_in_a_namespace_of_this_program() {
        let info = |labels: &[(&str, &str)]| {
            let labels = labels
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            NamespaceInfo(ObjectMeta {
                labels: Some(labels.collect()),
                ..ObjectMeta::default()
            })
        };
        let own = info(&[("app.kubernetes.io/managed-by", "remote-buildkit"), ("demo", "1")]);
        assert_eq!(own.own_label("demo"), Some("1"));
        assert_eq!(own.own_label("other"), None);
        assert_eq!(info(&[("demo", "1")]).own_label("demo"), None);
        assert_eq!(NamespaceInfo(ObjectMeta::default()).own_label("demo"), None);
    }
}
