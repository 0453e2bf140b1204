//! Whom the cluster takes this job for, and what it lets it do.

use serde_json::{Value, json};

use super::Cluster;
use super::raw::Seen;

/// A user, in the cluster's words.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub groups: Vec<String>,
}

impl Cluster {
    /// `None`: the token is good, and this cluster does not say whose it is (before Kubernetes 1.28, or by its RBAC).
    pub async fn whoami(&self) -> anyhow::Result<Option<Identity>> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        match self.review("selfsubjectreviews", path, &review).await? {
            Seen::There(answer) => Ok(Some(identity(&answer))),
            Seen::Absent | Seen::Forbidden(_) => Ok(None),
        }
    }

    /// Whether RBAC, or another authorizer, allows it in the agent's namespace; `None` when that may not be asked.
    /// `resource` with its subresource: `pods/exec`.
    pub async fn may(&self, verb: &str, group: &str, resource: &str) -> anyhow::Result<Option<bool>> {
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
            Seen::There(answer) => Ok(Some(answer["status"]["allowed"] == true)),
            Seen::Absent | Seen::Forbidden(_) => Ok(None),
        }
    }
}

fn identity(answer: &Value) -> Identity {
    let user = &answer["status"]["userInfo"];
    let groups = user["groups"].as_array().into_iter().flatten();
    Identity {
        name: user["username"].as_str().unwrap_or_default().to_owned(),
        groups: groups
            .filter_map(|group| group.as_str().map(str::to_owned))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_its_groups() {
        let answer = json!({"status": {"userInfo": {"username": "ci", "groups": ["a", "b"]}}});
        let expected = Identity {
            name: "ci".into(),
            groups: vec!["a".into(), "b".into()],
        };
        assert_eq!(identity(&answer), expected);
    }
}
