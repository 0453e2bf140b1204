//! Creates and deletes the agent's namespace.

use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use kube::Error;
use serde_json::{Value, json};

use super::error::{ApiOperation, ClusterError};
use super::{Cluster, Lookup};
use crate::agent::manifests::MANAGED_BY;

const PATH: &str = "/api/v1/namespaces";

const fn operation(verb: &'static str) -> ApiOperation {
    ApiOperation::new(verb, "namespaces").cluster_scoped()
}

/// How often to read a namespace that is being deleted.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long to wait for the default service account of a new namespace. A controller creates it within a second.
const ACCOUNT_TIMEOUT: Duration = Duration::from_secs(10);

/// The metadata of a namespace.
#[derive(Debug)]
pub struct NamespaceInfo(Value);

impl NamespaceInfo {
    /// Returns the value of a label, if this program created the namespace.
    pub fn own_label(&self, name: &str) -> Option<&str> {
        let labels = &self.0["labels"];
        (labels[MANAGED_BY.0] == MANAGED_BY.1)
            .then(|| labels[name].as_str())
            .flatten()
    }
}

impl Cluster {
    /// Returns the agent's namespace, if it exists.
    pub async fn namespace(&self) -> Result<Option<NamespaceInfo>, ClusterError> {
        let found = self
            .request(&operation("get"), || async {
                let request = http::Request::get(format!("{PATH}/{}", self.namespace)).body(vec![]);
                match self.client.request(request.map_err(Error::HttpError)?).await {
                    Ok(found) => Ok(Some(found)),
                    Err(Error::Api(status)) if status.code == 404 => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        Ok(found.map(|found: Value| NamespaceInfo(found["metadata"].clone())))
    }

    /// Creates the agent's namespace with these labels. Pod Security lets every agent in: each `isolation` needs more than
    /// the level `baseline` allows. That the namespace exists is no error, because a retried request may have created it:
    /// the caller reads its labels.
    pub async fn create_namespace(&self, labels: &[(&str, &str)]) -> Result<(), ClusterError> {
        let usual = [MANAGED_BY, ("pod-security.kubernetes.io/enforce", "privileged")];
        let labels: serde_json::Map<_, _> = usual
            .iter()
            .chain(labels)
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": labels},
        });
        let body = namespace.to_string().into_bytes();
        self.request(&operation("create"), || async {
            let request = http::Request::post(PATH)
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
            match self
                .client
                .request::<Value>(request.map_err(Error::HttpError)?)
                .await
            {
                Ok(_) => Ok(()),
                Err(Error::Api(status)) if status.code == 409 => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Waits until pods can be created in a new namespace: until its default service account exists.
    pub async fn wait_for_service_account(&self) -> Result<(), ClusterError> {
        let path = format!("{PATH}/{}/serviceaccounts/default", self.namespace);
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
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": found.0["uid"]},
        });
        let body = options.to_string().into_bytes();
        let path = format!("{PATH}/{}", self.namespace);
        self.request(&operation("delete"), || async {
            let request = http::Request::delete(&path)
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
            match self
                .client
                .request::<Value>(request.map_err(Error::HttpError)?)
                .await
            {
                Ok(_) => Ok(()),
                Err(Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await?;
        while self
            .namespace()
            .await?
            .is_some_and(|left| left.0["uid"] == found.0["uid"])
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
        let info = |labels: Value| NamespaceInfo(json!({"labels": labels}));
        let own = info(json!({"app.kubernetes.io/managed-by": "remote-buildkit", "demo": "1"}));
        assert_eq!(own.own_label("demo"), Some("1"));
        assert_eq!(own.own_label("other"), None);
        assert_eq!(info(json!({"demo": "1"})).own_label("demo"), None);
        assert_eq!(NamespaceInfo(json!({})).own_label("demo"), None);
    }
}
