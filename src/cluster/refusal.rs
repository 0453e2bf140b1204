//! From an error of the API server to what a user can do about it.

use std::time::Duration;

use kube::Error;
use kube::client::AuthError;
use kube::core::Status;

use super::Cluster;
use crate::error_code::ErrorCode;
use crate::problem::{Problem, chain};
use crate::retry::{AttemptError, FailureKind};

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

    /// A change waits for webhooks, which have 30 s at most; a read for nobody.
    pub(super) fn within(&self) -> Duration {
        Duration::from_secs(if self.verb == "apply" { 35 } else { 15 })
    }

    pub(super) const fn group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }
}

/// Whether the same request may succeed a moment later.
pub(super) fn cause(error: &Error) -> FailureKind {
    match error {
        Error::Api(status) if is_conflict_of_fields(status) || unknown_field(&status.message) => {
            FailureKind::Permanent
        }
        Error::Api(status) if status.code == 403 => FailureKind::Denied,
        Error::Api(status) => FailureKind::from_status(status.code),
        Error::Auth(_) => FailureKind::Permanent,
        other => FailureKind::from_error(other),
    }
}

/// A 409 that names a field manager: the fields are somebody else's, and stay so.
pub(super) fn is_conflict_of_fields(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "FieldManagerConflict")
}

fn not_taken(what: String) -> Problem {
    Problem::new(
        ErrorCode::RequestRejected,
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
        ErrorCode::CredentialPluginFailed,
        format!("Asked for a credential as the kubeconfig says and got none: {why}."),
        "Run the command that the kubeconfig names under users, exec; it and what it needs have to be on this runner.",
    ))
}

impl Cluster {
    pub(super) fn failed(&self, error: &Error, request: &Request) -> AttemptError {
        let after = match error {
            Error::Api(status) => status.details.as_ref().map(|details| details.retry_after_seconds),
            _ => None,
        };
        AttemptError {
            kind: cause(error),
            retry_after: after.map(|seconds| Duration::from_secs(seconds.into())),
            error: self.refused(error, request),
        }
    }

    pub(super) fn silent(&self, request: &Request) -> AttemptError {
        let why = format!("nothing came within {} s", request.within().as_secs());
        AttemptError::new(FailureKind::TimedOut, self.not_reached(request, &why))
    }

    fn asked(&self, request: &Request) -> String {
        format!(
            "Asked the API server {} to {} {} in the namespace {}",
            self.server, request.verb, request.resource, self.namespace
        )
    }

    pub(super) fn answered(&self, status: &Status, request: &Request) -> String {
        let message = status.message.trim_end_matches('.');
        format!("{} and got {}: {message}.", self.asked(request), status.code)
    }

    fn not_reached(&self, request: &Request, why: &str) -> Problem {
        Problem::new(
            ErrorCode::ClusterUnreachable,
            format!("{} and got no answer: {why}.", self.asked(request)),
            self.reach.remedy(),
        )
    }

    pub(super) fn refused(&self, error: &Error, request: &Request) -> anyhow::Error {
        let Request {
            verbs,
            resource,
            group,
            ..
        } = request;
        if let Some(problem) = no_credential(error) {
            return problem.into();
        }
        let status = match error {
            Error::Api(status) => status,
            other => return self.not_reached(request, &chain(other)).into(),
        };
        let what = self.answered(status, request);
        let kind = status.details.as_ref().map(|d| d.kind.as_str());
        match (status.code, kind) {
            (401, _) => Unauthorized { what }.into(),
            // A quota and a namespace that is being deleted also answer 403.
            (403, _) if status.message.contains(" cannot ") => Problem::new(
                ErrorCode::Forbidden,
                what,
                format!(
                    "Bind a Role to this identity in the namespace {} with the rule {{apiGroups: [\"{group}\"], \
                     resources: [{resource}], verbs: [{verbs}]}}; the README has the whole Role.",
                    self.namespace
                ),
            )
            .into(),
            (404, Some("namespaces")) => Problem::new(
                ErrorCode::NamespaceNotFound,
                what,
                format!(
                    "Create it (kubectl create namespace {}) or set the input `namespace`.",
                    self.namespace
                ),
            )
            .into(),
            (403 | 422, _) => not_taken(what).into(),
            (400 | 500, _) if unknown_field(&status.message) => not_taken(what).into(),
            (409 | 429 | 500.., _) => Problem::new(
                ErrorCode::ClusterUnavailable,
                what,
                "The API server is there and does not do it now: run the job again later; if it stays, see the \
                 server's own logs and kubectl get --raw '/readyz?verbose'.",
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
