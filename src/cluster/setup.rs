//! The objects of `setup`: reads and applies the namespace, the Roles and the StorageClass.

use kube::Error;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::Value;

use super::error::{self, ApiOperation, ClusterError};
use super::{Cluster, Lookup, apply};
use crate::agent;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::setup::kubernetes::{AUTO_MODE_DRIVER, EBS_DRIVER, FoundClass, FoundStorage, name as object_name};

/// A kind of object, as the API and RBAC name it.
struct Kind {
    kind: &'static str,
    resource: &'static str,
    group: &'static str,
    namespaced: bool,
}

const KINDS: [Kind; 4] = [
    Kind {
        kind: "Namespace",
        resource: "namespaces",
        group: "",
        namespaced: false,
    },
    Kind {
        kind: "Role",
        resource: "roles",
        group: "rbac.authorization.k8s.io",
        namespaced: true,
    },
    Kind {
        kind: "RoleBinding",
        resource: "rolebindings",
        group: "rbac.authorization.k8s.io",
        namespaced: true,
    },
    Kind {
        kind: "StorageClass",
        resource: "storageclasses",
        group: "storage.k8s.io",
        namespaced: false,
    },
];

impl Kind {
    fn of(object: &Value) -> anyhow::Result<&'static Self> {
        let found = KINDS.iter().find(|kind| object["kind"] == kind.kind);
        found.ok_or_else(|| anyhow::anyhow!("no kind of {}", object_name(object)))
    }

    fn operation(&self, operation: ApiOperation) -> ApiOperation {
        let operation = operation.group(self.group);
        if self.namespaced {
            operation
        } else {
            operation.cluster_scoped()
        }
    }

    fn api(&self, cluster: &Cluster) -> Api<DynamicObject> {
        let (group, version) = (self.group.to_owned(), "v1".to_owned());
        let resource = ApiResource {
            api_version: if group.is_empty() {
                version.clone()
            } else {
                format!("{group}/{version}")
            },
            group,
            version,
            kind: self.kind.to_owned(),
            plural: self.resource.to_owned(),
        };
        let client = cluster.client.clone();
        if self.namespaced {
            Api::namespaced_with(client, &cluster.namespace, &resource)
        } else {
            Api::all_with(client, &resource)
        }
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

impl Cluster {
    /// Returns the object of the same kind and name, if it exists.
    pub async fn find_object(&self, desired: &Value) -> Result<Option<Value>, ClusterError> {
        let kind = Kind::of(desired)?;
        let api = kind.api(self);
        let operation = kind.operation(ApiOperation::new("get", kind.resource));
        let found = self.request(&operation, || api.get_opt(name(desired))).await?;
        Ok(found.as_ref().map(apply::json).transpose()?)
    }

    /// Applies an object. A field that another tool manages is an error.
    pub async fn apply_object(&self, desired: &Value) -> Result<(), ClusterError> {
        let kind = Kind::of(desired)?;
        let (api, operation) = (kind.api(self), kind.operation(ApiOperation::apply(kind.resource)));
        let (params, patch) = (PatchParams::apply(agent::FIELD_MANAGER), Patch::Apply(desired));
        let applied = self.retrier.run(|| async {
            let sent = self.with_timeout(&operation, api.patch(name(desired), &params, &patch));
            sent.await?.map_err(|error| match error {
                Error::Api(status) if error::is_field_conflict(&status) => {
                    field_conflict(desired, &status.message).into()
                }
                error => self.attempt_error(&error, &operation),
            })
        });
        applied.await.map(drop)
    }

    /// Returns the StorageClasses and the CSI drivers of the cluster. Without the permission to read CSI drivers, a driver
    /// counts as absent.
    pub async fn storage(&self) -> Result<FoundStorage, ClusterError> {
        let classes = match self.storage_classes(None).await? {
            Lookup::Found(classes) => classes,
            Lookup::NotFound => vec![],
            Lookup::Forbidden(why) => return Err(storage_hidden(&self.server, &why).into()),
        };
        let has_driver = async |driver: &str| -> Result<bool, ClusterError> {
            let registered = self.csi_driver(driver).await?;
            Ok(matches!(registered, Lookup::Found(())))
        };
        Ok(FoundStorage {
            classes: classes
                .into_iter()
                .map(|class| FoundClass {
                    name: class.name,
                    provisioner: class.provisioner,
                    default: class.default,
                })
                .collect(),
            ebs: has_driver(EBS_DRIVER).await?,
            auto_mode: has_driver(AUTO_MODE_DRIVER).await?,
        })
    }
}

fn storage_hidden(server: &str, why: &str) -> Problem {
    Problem::new(
        ErrorCode::Forbidden,
        format!("API server {server} answered `list storageclasses` with 403: {why}."),
        "Bind a ClusterRole to this identity with the rule {apiGroups: [storage.k8s.io], resources: [storageclasses, \
         csidrivers], verbs: [get, list]}.",
    )
}

fn field_conflict(desired: &Value, message: &str) -> Problem {
    Problem::new(
        ErrorCode::FieldManagerConflict,
        format!(
            "Cannot apply {}: {message}. Another tool, or a user with kubectl, manages these fields.",
            object_name(desired)
        ),
        "Choose another `namespace`, or delete that object.",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_object_of_setup_has_a_kind() {
        use crate::setup::kubernetes;
        let mut objects = vec![kubernetes::namespace("ci"), kubernetes::storage_class(EBS_DRIVER)];
        objects.extend(kubernetes::access("ci").expect("objects"));
        for object in objects {
            let kind = Kind::of(&object).expect("a kind");
            assert_eq!(object["metadata"]["namespace"].is_string(), kind.namespaced);
        }
        assert!(Kind::of(&json!({"kind": "Secret"})).is_err());
    }

    #[test]
    fn errors_of_setup() {
        let role = json!({"kind": "Role", "metadata": {"name": "remote-buildkit-use", "namespace": "ci"}});
        let message = "Apply failed with 1 conflict: conflict with \"helm\": .rules";
        let errors = [
            field_conflict(&role, message),
            storage_hidden("https://k8s.example.com", "ada cannot list storageclasses"),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n\n"));
    }
}
