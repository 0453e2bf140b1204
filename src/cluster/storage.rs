//! Reads StorageClasses, CSI drivers and an agent's claim. RBAC may hide any of them from a job.

use serde_json::Value;

use super::Cluster;
use super::lookup::Lookup;

const GROUP: &str = "/apis/storage.k8s.io/v1";

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    pub name: String,
    pub provisioner: String,
    /// Whether it is the default, for claims that name no class.
    pub default: bool,
    /// Whether its volumes can grow.
    pub expands: bool,
}

/// A PersistentVolumeClaim and the size of its volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    pub name: String,
    /// `Pending`, `Bound` or `Lost`.
    pub phase: String,
    pub class: Option<String>,
    /// The size of the volume; while there is none, the requested size.
    pub size: Option<String>,
}

impl Cluster {
    /// Returns the class of this name; without a name, all classes.
    pub async fn storage_classes(&self, name: Option<&str>) -> anyhow::Result<Lookup<Vec<Class>>> {
        let path = match name {
            Some(name) => format!("{GROUP}/storageclasses/{name}"),
            None => format!("{GROUP}/storageclasses"),
        };
        let seen = self.read("storageclasses", &path).await?;
        Ok(seen.map(|found| match found["items"].as_array() {
            Some(items) => items.iter().map(class).collect(),
            None => vec![class(&found)],
        }))
    }

    /// Looks up whether a CSI driver is registered.
    pub async fn csi_driver(&self, name: &str) -> anyhow::Result<Lookup<()>> {
        let path = format!("{GROUP}/csidrivers/{name}");
        Ok(self.read("csidrivers", &path).await?.map(|_| ()))
    }

    /// Returns on how many nodes a CSI driver runs, and the number of nodes. Reads at most 500 nodes.
    pub async fn csi_nodes(&self, driver: &str) -> anyhow::Result<Lookup<(usize, usize)>> {
        let path = format!("{GROUP}/csinodes?limit=500");
        let seen = self.read("csinodes", &path).await?;
        Ok(seen.map(|list| {
            let nodes = list["items"].as_array().map_or(&[][..], Vec::as_slice);
            let drivers = |node: &Value| node["spec"]["drivers"].as_array().cloned().unwrap_or_default();
            let has = |node: &&Value| drivers(node).iter().any(|d| d["name"] == driver);
            (nodes.iter().filter(has).count(), nodes.len())
        }))
    }

    /// Returns the agent's claim.
    pub async fn claim(&self, name: &str) -> anyhow::Result<Lookup<Claim>> {
        let path = format!(
            "/api/v1/namespaces/{}/persistentvolumeclaims/{name}",
            self.namespace
        );
        let seen = self.read("persistentvolumeclaims", &path).await?;
        Ok(seen.map(|found| claim(name, &found)))
    }
}

fn class(found: &Value) -> Class {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let default = &found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"];
    Class {
        name: text(&found["metadata"]["name"]),
        provisioner: text(&found["provisioner"]),
        default: default == "true",
        expands: found["allowVolumeExpansion"] == true,
    }
}

fn claim(name: &str, found: &Value) -> Claim {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let asked = || text(&found["spec"]["resources"]["requests"]["storage"]);
    Claim {
        name: name.to_owned(),
        phase: text(&found["status"]["phase"]).unwrap_or_default(),
        class: text(&found["spec"]["storageClassName"]),
        size: text(&found["status"]["capacity"]["storage"]).or_else(asked),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_storage_class_is_parsed() {
        let found = json!({
            "metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "ebs.csi.aws.com",
            "allowVolumeExpansion": true,
        });
        let expected = Class {
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
