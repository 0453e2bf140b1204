//! Reads that RBAC may deny: the job's user and permissions, StorageClasses, CSI drivers and an agent's claim. The
//! responses are read as JSON: a type for each object that is read once would only make the binary larger.

use kube::Error;
use serde_json::{Value, json};

use super::Cluster;
use super::error::{ApiOperation, ClusterError};

/// The result of reading an object that may be missing, or that RBAC may hide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<T> {
    Found(T),
    NotFound,
    /// The server's message.
    Forbidden(String),
}

impl<T> Lookup<T> {
    /// Converts the object that was found.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(found) => Lookup::Found(change(found)),
            Self::NotFound => Lookup::NotFound,
            Self::Forbidden(why) => Lookup::Forbidden(why),
        }
    }
}

impl Cluster {
    /// Reads the object, or list, at a path.
    pub(super) async fn read(
        &self,
        operation: &ApiOperation,
        path: &str,
    ) -> Result<Lookup<Value>, ClusterError> {
        self.lookup(operation, || http::Request::get(path).body(vec![]))
            .await
    }

    /// Posts a review, such as a SelfSubjectReview. It creates no object.
    async fn review(
        &self,
        resource: &'static str,
        path: &str,
        body: &Value,
    ) -> Result<Lookup<Value>, ClusterError> {
        let body = body.to_string();
        self.lookup(&ApiOperation::new("create", resource).cluster_scoped(), || {
            http::Request::post(path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.clone().into_bytes())
        })
        .await
    }

    async fn lookup(
        &self,
        operation: &ApiOperation,
        http: impl Fn() -> http::Result<http::Request<Vec<u8>>>,
    ) -> Result<Lookup<Value>, ClusterError> {
        self.request(operation, || async {
            let http = http().map_err(Error::HttpError)?;
            match self.client.request(http).await {
                Ok(found) => Ok(Lookup::Found(found)),
                Err(Error::Api(status)) if status.code == 404 => Ok(Lookup::NotFound),
                Err(Error::Api(status)) if status.code == 403 => {
                    Ok(Lookup::Forbidden(status.message.clone()))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }
}

/// The user as which the cluster authenticated this job.
#[derive(Debug, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub groups: Vec<String>,
}

impl Cluster {
    /// Returns the authenticated user. `None`: the token is valid, but the cluster does not report the user (before
    /// Kubernetes 1.28, or because of its RBAC).
    pub async fn whoami(&self) -> Result<Option<UserInfo>, ClusterError> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        match self.review("selfsubjectreviews", path, &review).await? {
            Lookup::Found(answer) => Ok(Some(identity(&answer))),
            Lookup::NotFound | Lookup::Forbidden(_) => Ok(None),
        }
    }

    /// Returns whether RBAC, or another authorizer, allows the operation in the agent's namespace; `None` if the review
    /// itself is denied. `resource` includes a subresource: `pods/exec`.
    pub async fn is_allowed(
        &self,
        verb: &str,
        group: &str,
        resource: &str,
    ) -> Result<Option<bool>, ClusterError> {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": self.namespace,
                "verb": verb,
                "group": group,
                "resource": resource,
                "subresource": subresource,
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        match self.review("selfsubjectaccessreviews", path, &review).await? {
            Lookup::Found(answer) => Ok(Some(answer["status"]["allowed"] == true)),
            Lookup::NotFound | Lookup::Forbidden(_) => Ok(None),
        }
    }
}

/// Parses the response to a SelfSubjectReview.
fn identity(answer: &Value) -> UserInfo {
    let user = &answer["status"]["userInfo"];
    let groups = user["groups"].as_array().into_iter().flatten();
    UserInfo {
        name: user["username"].as_str().unwrap_or_default().to_owned(),
        groups: groups
            .filter_map(|group| group.as_str().map(str::to_owned))
            .collect(),
    }
}

const STORAGE_API: &str = "/apis/storage.k8s.io/v1";
const STORAGE_CLASSES: ApiOperation = ApiOperation::new("get", "storageclasses").cluster_scoped();
const CSI_DRIVERS: ApiOperation = ApiOperation::new("get", "csidrivers").cluster_scoped();
const CSI_NODES: ApiOperation = ApiOperation::new("get", "csinodes").cluster_scoped();

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClassInfo {
    pub name: String,
    pub provisioner: String,
    /// Whether it is the default, for claims that name no class.
    pub default: bool,
    /// Whether its volumes can grow.
    pub expands: bool,
}

/// A PersistentVolumeClaim and the size of its volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimInfo {
    pub name: String,
    /// `Pending`, `Bound` or `Lost`.
    pub phase: String,
    pub class: Option<String>,
    /// The size of the volume; while there is none, the requested size.
    pub size: Option<String>,
}

impl Cluster {
    /// Returns the class of this name; without a name, all classes.
    pub async fn storage_classes(
        &self,
        name: Option<&str>,
    ) -> Result<Lookup<Vec<StorageClassInfo>>, ClusterError> {
        let path = match name {
            Some(name) => format!("{STORAGE_API}/storageclasses/{name}"),
            None => format!("{STORAGE_API}/storageclasses"),
        };
        let response = self.read(&STORAGE_CLASSES, &path).await?;
        Ok(response.map(|found| match found["items"].as_array() {
            Some(items) => items.iter().map(class).collect(),
            None => vec![class(&found)],
        }))
    }

    /// Looks up whether a CSI driver is registered.
    pub async fn csi_driver(&self, name: &str) -> Result<Lookup<()>, ClusterError> {
        let path = format!("{STORAGE_API}/csidrivers/{name}");
        Ok(self.read(&CSI_DRIVERS, &path).await?.map(|_| ()))
    }

    /// Returns on how many nodes a CSI driver runs, and the number of nodes. Reads at most 500 nodes.
    pub async fn csi_nodes(&self, driver: &str) -> Result<Lookup<(usize, usize)>, ClusterError> {
        let path = format!("{STORAGE_API}/csinodes?limit=500");
        let response = self.read(&CSI_NODES, &path).await?;
        Ok(response.map(|list| {
            let nodes = list["items"].as_array().map_or(&[][..], Vec::as_slice);
            let drivers = |node: &Value| node["spec"]["drivers"].as_array().cloned().unwrap_or_default();
            let has = |node: &&Value| drivers(node).iter().any(|d| d["name"] == driver);
            (nodes.iter().filter(has).count(), nodes.len())
        }))
    }

    /// Returns the agent's claim.
    pub async fn claim(&self, name: &str) -> Result<Lookup<ClaimInfo>, ClusterError> {
        let path = format!(
            "/api/v1/namespaces/{}/persistentvolumeclaims/{name}",
            self.namespace
        );
        let operation = ApiOperation::new("get", "persistentvolumeclaims");
        let response = self.read(&operation, &path).await?;
        Ok(response.map(|found| claim(name, &found)))
    }
}

fn class(found: &Value) -> StorageClassInfo {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let default = &found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"];
    StorageClassInfo {
        name: text(&found["metadata"]["name"]),
        provisioner: text(&found["provisioner"]),
        default: default == "true",
        expands: found["allowVolumeExpansion"] == true,
    }
}

fn claim(name: &str, found: &Value) -> ClaimInfo {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let requested = || text(&found["spec"]["resources"]["requests"]["storage"]);
    ClaimInfo {
        name: name.to_owned(),
        phase: text(&found["status"]["phase"]).unwrap_or_default(),
        class: text(&found["spec"]["storageClassName"]),
        size: text(&found["status"]["capacity"]["storage"]).or_else(requested),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_its_groups() {
        let answer = json!({"status": {"userInfo": {"username": "ci", "groups": ["a", "b"]}}});
        let expected = UserInfo {
            name: "ci".into(),
            groups: vec!["a".into(), "b".into()],
        };
        assert_eq!(identity(&answer), expected);
    }

    #[test]
    fn a_storage_class_is_parsed() {
        let found = json!({
            "metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "ebs.csi.aws.com",
            "allowVolumeExpansion": true,
        });
        let expected = StorageClassInfo {
            name: "gp3".into(),
            provisioner: "ebs.csi.aws.com".into(),
            default: true,
            expands: true,
        };
        assert_eq!(class(&found), expected);
        let plain = class(&json!({"metadata": {"name": "a"}, "provisioner": "b"}));
        assert!(!plain.default && !plain.expands);
    }

    #[test]
    fn a_claim_has_the_size_of_its_volume() {
        let mut found = json!({
            "spec": {"storageClassName": "gp3", "resources": {"requests": {"storage": "50Gi"}}},
            "status": {"phase": "Pending"},
        });
        let of = |found: &Value| claim("agent", found);
        assert_eq!(of(&found).size.as_deref(), Some("50Gi"));
        found["status"] = json!({"phase": "Bound", "capacity": {"storage": "60Gi"}});
        let bound = of(&found);
        assert_eq!(
            (bound.size.as_deref(), bound.phase.as_str()),
            (Some("60Gi"), "Bound")
        );
    }
}
