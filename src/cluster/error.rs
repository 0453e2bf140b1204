//! Converts errors of the API server to errors with a remedy.

use std::fmt;
use std::time::Duration;

use kube::Error;
use kube::client::AuthError;
use kube::core::Status;

use super::Cluster;
use crate::agent::other_namespace_hint;
use crate::connection_error::{self, ProxyFailure};
use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::problem::{Problem, chain};
use crate::retry::{AttemptError, RequestError};

/// The operation that a request performs, as RBAC names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ApiOperation {
    verb: &'static str,
    /// The verbs that RBAC must allow, as the items of a YAML list.
    verbs: &'static str,
    resource: &'static str,
    group: &'static str,
    /// Whether the resource is in no namespace.
    is_cluster_scoped: bool,
}

impl ApiOperation {
    pub(super) const fn new(verb: &'static str, resource: &'static str) -> Self {
        Self {
            verb,
            verbs: verb,
            resource,
            group: "",
            is_cluster_scoped: false,
        }
    }

    /// Returns the operation on objects of a kind.
    pub(super) fn on<K: k8s_openapi::Resource>(verb: &'static str) -> Self {
        Self::new(verb, K::URL_PATH_SEGMENT).group(K::GROUP)
    }

    /// Returns a server-side apply: RBAC sees a patch, and also a create if the object does not exist.
    pub(super) const fn apply(resource: &'static str) -> Self {
        Self {
            verbs: "create, patch",
            ..Self::new("apply", resource)
        }
    }

    /// Returns how long to wait for a response. A write waits for admission webhooks, at most 30 s; a read waits for
    /// nothing.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(if self.verb == "apply" { 35 } else { 15 })
    }

    /// Returns the operation on a resource that is in no namespace.
    pub(super) const fn cluster_scoped(self) -> Self {
        Self {
            is_cluster_scoped: true,
            ..self
        }
    }

    pub(super) const fn group(self, group: &'static str) -> Self {
        Self { group, ..self }
    }
}

/// Returns the kind of failure, which decides whether the request is retried.
pub(super) fn failure_kind(error: &Error) -> FailureKind {
    match error {
        Error::Api(status) if is_field_conflict(status) || is_unknown_field(&status.message) => {
            FailureKind::Permanent
        }
        Error::Api(status) if status.code == 403 => FailureKind::Denied,
        Error::Api(status) => FailureKind::from_status(status.code),
        other if auth_error(other).is_some() => FailureKind::Permanent,
        other => FailureKind::from_error(other),
    }
}

/// Returns the error of the credential plugin: kube returns it as such when a client is created, and in a box when a
/// request needs a new token.
pub(super) fn auth_error(error: &Error) -> Option<&AuthError> {
    match error {
        Error::Auth(auth) => Some(auth),
        Error::Service(source) => source.downcast_ref(),
        _ => None,
    }
}

/// Returns why a request got no response, without the text that kube adds.
pub(super) fn cause(error: &Error) -> String {
    match error {
        Error::Service(source) => connection_error::cause(&**source),
        other => connection_error::cause(other),
    }
}

/// Returns whether a 409 names another field manager: it owns the fields, so a retry fails as well.
pub(super) fn is_field_conflict(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == "FieldManagerConflict")
}

fn rejected(what: String) -> Problem {
    Problem::new(
        ErrorCode::RequestRejected,
        what,
        "Correct the input that the server's message names, or the quota of the namespace.",
    )
}

/// Returns whether server-side apply rejected an unknown field, which the server reports as its own error, a 500
/// (kube-apiserver 1.34).
fn is_unknown_field(message: &str) -> bool {
    message.contains("failed to create typed patch object")
}

/// Returns the error for a credential plugin of the kubeconfig that failed. The plugin's standard output may contain a
/// credential and is not shown.
pub(super) fn plugin_error(error: &Error) -> Option<Problem> {
    let why = match auth_error(error)? {
        AuthError::AuthExecRun { cmd, out } => {
            let stderr = String::from_utf8_lossy(&out.stderr);
            format!("`{cmd}` ended with {}: {}", out.status, stderr.trim())
        }
        other => chain(other),
    };
    Some(Problem::new(
        ErrorCode::CredentialPluginFailed,
        format!("The credential plugin of the kubeconfig returned no credential: {why}."),
        "Run the plugin's command (in the kubeconfig under users, exec) on this runner and correct what fails. It must be \
         installed here.",
    ))
}

impl Cluster {
    /// Returns a failed attempt: the error with its remedy, and whether it is retried.
    pub(super) fn attempt_error(&self, error: &Error, operation: &ApiOperation) -> ClusterAttemptError {
        let after = match error {
            Error::Api(status) => status.details.as_ref().map(|details| details.retry_after_seconds),
            _ => None,
        };
        AttemptError {
            kind: failure_kind(error),
            retry_after: after.map(|seconds| Duration::from_secs(seconds.into())),
            error: self.request_error(error, operation),
        }
    }

    /// Returns the failed attempt of an operation that got no response in time.
    pub(super) fn timed_out(&self, operation: &ApiOperation, timeout: Duration) -> ClusterAttemptError {
        let why = format!("no response within {:.0} s", timeout.as_secs_f64());
        AttemptError {
            kind: FailureKind::TimedOut,
            ..self.unreachable(operation, &why).into()
        }
    }

    fn describe_operation(&self, operation: &ApiOperation) -> String {
        let ApiOperation { verb, resource, .. } = operation;
        if operation.is_cluster_scoped {
            return format!("`{verb} {resource}`");
        }
        format!("`{verb} {resource}` in namespace {}", self.namespace)
    }

    /// Returns a sentence with the operation and the server's answer to it.
    pub(super) fn describe_status(&self, status: &Status, operation: &ApiOperation) -> String {
        let message = status.message.trim_end_matches('.');
        format!(
            "API server {} answered {} with {}: {message}.",
            self.server,
            self.describe_operation(operation),
            status.code
        )
    }

    fn unreachable(&self, operation: &ApiOperation, why: &str) -> Problem {
        Problem::new(
            ErrorCode::ClusterUnreachable,
            format!(
                "API server {} did not answer {}: {why}.",
                self.server,
                self.describe_operation(operation)
            ),
            self.reachability.remedy(),
        )
    }

    /// Returns the error for a server whose host name could not be resolved.
    fn unresolved(&self, why: &str) -> Problem {
        let host = self.reachability.host();
        Problem::new(
            ErrorCode::DnsFailed,
            format!("Could not resolve {host}, the API server's host: {why}."),
            self.reachability.dns_remedy(),
        )
    }

    /// Returns the error of a request, with a remedy if there is one.
    pub(super) fn request_error(&self, error: &Error, operation: &ApiOperation) -> ClusterError {
        let ApiOperation {
            verbs,
            resource,
            group,
            ..
        } = operation;
        if let Some(problem) = plugin_error(error) {
            return problem.into();
        }
        let status = match error {
            Error::Api(status) => status,
            other => {
                let problem = ProxyFailure::find(other).cloned();
                let unreachable = || match FailureKind::from_error(other) {
                    FailureKind::DnsFailed => self.unresolved(&cause(other)),
                    _ => self.unreachable(operation, &cause(other)),
                };
                return problem.unwrap_or_else(unreachable).into();
            }
        };
        let what = self.describe_status(status, operation);
        let kind = status.details.as_ref().map(|d| d.kind.as_str());
        match (status.code, kind) {
            (401, _) => ClusterError::Unauthorized(Unauthorized { what }),
            // 403 is also the answer of a quota and of a namespace that is being deleted.
            (403, _) if status.message.contains(" cannot ") && operation.is_cluster_scoped => Problem::new(
                ErrorCode::Forbidden,
                what,
                format!(
                    "Bind a ClusterRole to this identity with the rule {{apiGroups: [\"{group}\"], resources: [{resource}], \
                     verbs: [{verbs}]}}."
                ),
            )
            .into(),
            (403, _) if status.message.contains(" cannot ") => Problem::new(
                ErrorCode::Forbidden,
                what,
                format!(
                    "Bind a Role to this identity in the namespace {0} with the rule {{apiGroups: [\"{group}\"], \
                     resources: [{resource}], verbs: [{verbs}]}}; `remote-buildkit manifests --rbac --namespace {0}` prints \
                     the complete Roles.{1}",
                    self.namespace,
                    denied_namespace_hint(&self.namespace)
                ),
            )
            .into(),
            (404, Some("namespaces")) => Problem::new(
                ErrorCode::NamespaceNotFound,
                what,
                format!(
                    "Ask an administrator to run `remote-buildkit setup`, or to create it (kubectl create namespace {0}), or \
                     correct the input `namespace`.{1}",
                    self.namespace,
                    other_namespace_hint(&self.namespace)
                ),
            )
            .into(),
            (403 | 422, _) => rejected(what).into(),
            (400 | 500, _) if is_unknown_field(&status.message) => rejected(what).into(),
            (409 | 429 | 500.., _) => Problem::new(
                ErrorCode::ClusterUnavailable,
                what,
                "Retry later: the API server is reachable but overloaded or failing. If it persists, check its logs and \
                 kubectl get --raw '/readyz?verbose'.",
            )
            .into(),
            _ => ClusterError::Other(anyhow::anyhow!(what)),
        }
    }
}

/// Returns the hint for a 403 in this namespace: RBAC answers so in a namespace that does not exist, too.
fn denied_namespace_hint(namespace: &str) -> String {
    match other_namespace_hint(namespace) {
        "" => String::new(),
        hint => format!(
            " If the namespace does not exist yet, ask an administrator to run `remote-buildkit setup`.{hint}"
        ),
    }
}

/// The error of an operation on the cluster.
///
/// It is not a `std::error::Error`, so that `?` converts it to the `anyhow::Error` of what it contains, and not of
/// itself.
#[derive(Debug)]
pub enum ClusterError {
    /// An error with a remedy.
    Problem(Problem),
    /// The cluster rejected the identity.
    Unauthorized(Unauthorized),
    /// Any other error.
    Other(anyhow::Error),
}

pub(super) type ClusterAttemptError = AttemptError<ClusterError>;

impl From<Problem> for ClusterError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<anyhow::Error> for ClusterError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<ClusterError> for ClusterAttemptError {
    fn from(error: ClusterError) -> Self {
        Self::permanent(error)
    }
}

impl From<ClusterError> for anyhow::Error {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Problem(problem) => problem.into(),
            ClusterError::Unauthorized(unauthorized) => unauthorized.into(),
            ClusterError::Other(error) => error,
        }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => problem.fmt(f),
            Self::Unauthorized(unauthorized) => unauthorized.fmt(f),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl RequestError for ClusterError {
    fn to_problem(&self) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            other => Problem::new(ErrorCode::Unexpected, format!("{other}."), ""),
        }
    }

    fn annotate(self, text: String) -> Self {
        match self {
            Self::Problem(problem) => Self::Problem(problem.with_sentence(&text)),
            Self::Unauthorized(Unauthorized { what }) => Self::Unauthorized(Unauthorized {
                what: format!("{what} {text}"),
            }),
            Self::Other(error) => Self::Other(error.context(text)),
        }
    }
}

/// The error of a 401. Its remedy needs the identity, which only the code that signed in knows.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Unauthorized {
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kube puts the error in a box if a request runs the plugin again. Its text has the plugin's standard output.
    #[test]
    fn a_credential_plugin_that_fails_later_is_an_error_of_the_plugin() {
        let out = std::process::Output {
            status: std::os::unix::process::ExitStatusExt::from_raw(256),
            stdout: b"hush".to_vec(),
            stderr: b"operation timed out\n".to_vec(),
        };
        let run = AuthError::AuthExecRun {
            cmd: "get-token".into(),
            out: Box::new(out),
        };
        let error = Error::Service(Box::new(run));
        assert_eq!(failure_kind(&error), FailureKind::Permanent);
        let problem = plugin_error(&error).expect("an error of the plugin").to_string();
        assert!(
            problem.contains("`get-token` ended with exit status: 1: operation timed out")
                && !problem.contains("hush"),
            "{problem}"
        );
    }

    #[test]
    fn an_error_keeps_its_type_as_an_anyhow_error() {
        let problem = || Problem::new(ErrorCode::Forbidden, "Asked and was denied.", "Bind a Role.");
        let unauthorized = || Unauthorized {
            what: "Asked and got 401.".into(),
        };
        let error = |error: ClusterError| anyhow::Error::from(error.annotate("Gave up.".into()));
        let found: Problem = error(problem().into()).downcast().expect("a problem");
        assert_eq!(found.what, "Asked and was denied. Gave up.");
        let found: Unauthorized = error(ClusterError::Unauthorized(unauthorized()))
            .downcast()
            .expect("unauthorized");
        assert_eq!(found.what, "Asked and got 401. Gave up.");
        let other = error(anyhow::anyhow!("no socket").context("exec").into());
        assert_eq!(format!("{other:#}"), "Gave up.: exec: no socket");
    }

    #[test]
    fn a_namespace_is_named_only_for_resources_in_one() {
        Cluster::with_example(|cluster| {
            let nodes = ApiOperation::new("get", "csinodes").cluster_scoped();
            assert_eq!(cluster.describe_operation(&nodes), "`get csinodes`");
            let claims = ApiOperation::new("get", "persistentvolumeclaims");
            assert_eq!(
                cluster.describe_operation(&claims),
                "`get persistentvolumeclaims` in namespace ci"
            );
        });
    }

    #[test]
    fn a_denied_request_outside_of_namespaces_needs_a_cluster_role() {
        let status = Status {
            code: 403,
            message: "namespaces is forbidden: User \"ci\" cannot create resource \"namespaces\"".into(),
            ..Status::default()
        };
        let error = Error::Api(Box::new(status));
        Cluster::with_example(|cluster| {
            let create = ApiOperation::new("create", "namespaces");
            let scoped = cluster
                .request_error(&error, &create.cluster_scoped())
                .to_string();
            let rule = "Bind a ClusterRole to this identity with the rule {apiGroups: [\"\"], resources: [namespaces], \
                        verbs: [create]}.";
            assert!(scoped.contains(rule), "{scoped}");
            let namespaced = cluster.request_error(&error, &create).to_string();
            assert!(
                namespaced.contains("Bind a Role to this identity in the namespace ci"),
                "{namespaced}"
            );
        });
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let other = ClusterError::from(anyhow::anyhow!("no socket").context("exec"));
        assert_eq!(other.to_problem().what, "exec: no socket.");
    }
}
