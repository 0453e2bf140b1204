//! Asks the cluster who this job is and what it may do.

use serde_json::{Value, json};

use super::Cluster;
use super::lookup::Lookup;

/// The user as which the cluster authenticated this job.
#[derive(Debug, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub groups: Vec<String>,
}

impl Cluster {
    /// Returns the authenticated user. `None`: the token is valid, but the cluster does not tell the user (before Kubernetes
    /// 1.28, or because of its RBAC).
    pub async fn whoami(&self) -> anyhow::Result<Option<UserInfo>> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        match self.review("selfsubjectreviews", path, &review).await? {
            Lookup::Found(answer) => Ok(Some(identity(&answer))),
            Lookup::NotFound | Lookup::Forbidden(_) => Ok(None),
        }
    }

    /// Returns whether RBAC, or another authorizer, allows the operation in the agent's namespace; `None` if the review itself is
    /// denied. `resource` includes a subresource: `pods/exec`.
    pub async fn is_allowed(&self, verb: &str, group: &str, resource: &str) -> anyhow::Result<Option<bool>> {
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
}
