//! From an error of the API server to what a user can do about it.

use kube::Error;
use kube::client::AuthError;

use super::Cluster;
use crate::problem::{Problem, chain};

/// What was asked, in the words of RBAC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    verb: &'static str,
    /// What RBAC has to allow for it, as YAML's list holds it.
    verbs: &'static str,
    resource: &'static str,
    group: &'static str,
}

impl Request {
    pub(super) const fn new(verb: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            verbs: verb,
            resource,
            group: "",
        }
    }

    /// Server-side apply is a patch, and a create as well where there is nothing yet.
    pub(super) const fn apply(resource: &'static str) -> Self {
        Self {
            verbs: "create, patch",
            ..Self::new("apply", resource)
        }
    }

    pub(super) const fn group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }
}

impl Cluster {
    pub(super) fn refused(&self, error: &Error, request: &Request) -> anyhow::Error {
        let Request {
            verb,
            verbs,
            resource,
            group,
        } = request;
        let asked = format!(
            "Asked the API server {} to {verb} {resource} in the namespace {}",
            self.server, self.namespace
        );
        let status = match error {
            Error::Api(status) => status,
            Error::Auth(AuthError::AuthExecRun { cmd, out }) => {
                let text = String::from_utf8_lossy(&out.stderr);
                return anyhow::anyhow!("the credential plugin {cmd} failed: {}", text.trim());
            }
            other => {
                return Problem::new(
                    "Cluster not reached",
                    format!("{asked} and got no answer: {}.", chain(other)),
                    "Check that this runner can reach that address: a private endpoint of EKS is reached only from \
                     its VPC and what is peered with it.",
                )
                .into();
            }
        };
        let what = format!("{asked} and got {}: {}.", status.code, status.message);
        let kind = status.details.as_ref().map(|d| d.kind.as_str());
        match (status.code, kind) {
            (401, _) => Unauthorized { what }.into(),
            (403, _) => Problem::new(
                "No permission in the cluster",
                what,
                format!(
                    "Bind a Role to this identity in the namespace {} with the rule {{apiGroups: [\"{group}\"], \
                     resources: [{resource}], verbs: [{verbs}]}}; the README has the whole Role.",
                    self.namespace
                ),
            )
            .into(),
            (404, Some("namespaces")) => Problem::new(
                "No such namespace",
                what,
                format!(
                    "Create it (kubectl create namespace {}) or set the input `namespace`.",
                    self.namespace
                ),
            )
            .into(),
            (422, _) => Problem::new(
                "Refused by the cluster",
                what,
                "The server's own message above names the field; correct the input it came from.",
            )
            .into(),
            _ => anyhow::anyhow!(what),
        }
    }
}

/// The cluster does not know who we are. Who that is, and so the remedy, is known only where we signed in.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Unauthorized {
    pub what: String,
}
