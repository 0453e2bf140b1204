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

    /// About objects of a kind.
    pub(super) fn of<K: k8s_openapi::Resource>(verb: &'static str) -> Self {
        Self::new(verb, K::URL_PATH_SEGMENT).group(K::GROUP)
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

/// Whether the same request may succeed a moment later: no answer, or the server is busy.
pub(super) fn heals(error: &Error) -> bool {
    match error {
        Error::Api(status) => status.code == 429 || status.code >= 500,
        Error::HyperError(_) | Error::Service(_) | Error::ReadEvents(_) => true,
        _ => false,
    }
}

fn not_taken(what: String) -> Problem {
    Problem::new(
        "Refused by the cluster",
        what,
        "The server's own message above says what it does not take; correct the input it came from, or the namespace's \
         quota.",
    )
}

/// A field that server-side apply does not know; the server takes it for its own error (kube-apiserver 1.34).
fn unknown_field(message: &str) -> bool {
    message.contains("failed to create typed patch object")
}

/// A plugin of the user's kubeconfig that gave no credential. Its standard output may hold one and is not shown.
pub(super) fn no_credential(error: &Error) -> Option<Problem> {
    let Error::Auth(auth) = error else {
        return None;
    };
    let why = match auth {
        AuthError::AuthExecRun { cmd, out } => {
            let said = String::from_utf8_lossy(&out.stderr);
            format!("{cmd} ended with {} and said: {}", out.status, said.trim())
        }
        other => chain(other),
    };
    Some(Problem::new(
        "No credential for the cluster",
        format!("Asked for a credential as the kubeconfig says and got none: {why}."),
        "Run the command that the kubeconfig names under users, exec; it and what it needs have to be on this runner.",
    ))
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
        if let Some(problem) = no_credential(error) {
            return problem.into();
        }
        let status = match error {
            Error::Api(status) => status,
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
            // A quota and a namespace that is being deleted also answer 403.
            (403, _) if status.message.contains(" cannot ") => Problem::new(
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
            (403 | 422, _) => not_taken(what).into(),
            (400 | 500, _) if unknown_field(&status.message) => not_taken(what).into(),
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
