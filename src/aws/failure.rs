//! Failures of calls to AWS: how they are classified for `retry`, and the error for a service that did not respond.

use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::connection_error::{self, ProxyFailure};
use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::problem::Problem;

/// Why a call of AWS failed: the service's error code and message, or the error of the connection.
pub(super) struct AwsFailure {
    /// Whether the service itself responded.
    pub(super) from_service: bool,
    /// The service's error code, such as `AccessDenied`.
    code: Option<String>,
    pub(super) message: String,
    pub(super) kind: FailureKind,
    /// The error of this program's HTTP client, with its remedy.
    client_error: Option<Problem>,
}

impl AwsFailure {
    /// Converts an error of the SDK.
    pub(super) fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let Some(service) = error.as_service_error() else {
            let source = std::error::Error::source(error);
            let message = source.map_or_else(|| error.to_string(), cause);
            let client_error = find_problem(error);
            let kind = match (error, status) {
                _ if ProxyFailure::find(error).is_some() => FailureKind::from_error(error),
                _ if client_error.is_some() => FailureKind::Permanent,
                (_, Some(status)) => FailureKind::from_status(status),
                (SdkError::TimeoutError(_), _) => FailureKind::TimedOut,
                _ => FailureKind::from_error(error),
            };
            return Self {
                from_service: false,
                code: None,
                message,
                kind,
                client_error,
            };
        };
        // AccessDenied is not modelled by DescribeCluster, so the variants of the error cannot be relied on.
        let meta = service.meta();
        let code = meta.code().map(str::to_owned);
        let message = meta.message().unwrap_or("no message").trim_end_matches('.');
        Self {
            from_service: true,
            message: match (&code, status) {
                (Some(code), _) => format!("{code}: {message}"),
                (None, Some(status)) => format!("HTTP status {status}: {message}"),
                (None, None) => message.to_owned(),
            },
            kind: classify(
                code.as_deref().unwrap_or_default(),
                message,
                status.unwrap_or_default(),
            ),
            code,
            client_error: None,
        }
    }

    /// Returns whether the service responded with one of these error codes.
    pub(super) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|c| codes.contains(&c))
    }
}

/// Returns the error of this program's HTTP client among the causes of an error.
pub(super) fn find_problem(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let problem = causes.find_map(|cause| cause.downcast_ref());
    problem.or_else(|| ProxyFailure::find(error)).cloned()
}

/// Returns why a request got no response, without the texts of the SDK and its HTTP client.
pub(super) fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    connection_error::cause(
        causes
            .find(|cause| !cause.is::<ConnectorError>())
            .unwrap_or(error),
    )
}

/// Classifies an error of a service. The codes are from the SDK's own classifier, which is not used because each retry
/// needs a new web identity token; the others are STS's messages for an issuer whose keys it could not fetch.
fn classify(code: &str, message: &str, status: u16) -> FailureKind {
    if THROTTLING_ERRORS.contains(&code) {
        FailureKind::Throttled
    } else if TRANSIENT_ERRORS.contains(&code)
        || code.starts_with("IDPCommunicationError")
        || message.contains("retrieve verification key")
    {
        FailureKind::Unavailable
    } else {
        FailureKind::from_status(status)
    }
}

/// The remedy for a service's error that is not known here.
pub(super) const SEE_MESSAGE: &str = "Follow the service's message above.";

/// The error codes of a missing permission.
pub(super) const ACCESS_DENIED: &[&str] = &["AccessDenied", "AccessDeniedException"];

/// Returns the error for a service that did not respond: the network, a proxy, DNS, or a region that does not exist.
pub(super) fn unreachable(code: ErrorCode, service: &str, region: &str, failure: &AwsFailure) -> Problem {
    if let Some(problem) = &failure.client_error {
        return problem.clone();
    }
    let message = &failure.message;
    if failure.kind == FailureKind::DnsFailed {
        return Problem::new(
            ErrorCode::DnsFailed,
            format!("Called {service} in {region}, and its host name could not be resolved: {message}."),
            "Check the spelling of the region, and this machine's DNS (/etc/resolv.conf).",
        );
    }
    Problem::new(
        code,
        format!("Called {service} in {region} and got no response: {message}."),
        "Check the spelling of the region, and that this machine can reach AWS.",
    )
}

#[cfg(test)]
mod tests {
    use std::io;

    use aws_credential_types::provider::error::CredentialsError;
    use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityError;
    use http::Uri;
    use tower::BoxError;

    use super::*;
    use crate::proxy::ProxyUrl;

    #[test]
    fn an_error_of_the_http_client_is_found_in_an_error_of_credentials() {
        let problem = Problem::new(ErrorCode::UnsupportedProxy, "HTTPS_PROXY is wrong.", "Set it.");
        let connector = ConnectorError::user(problem.into());
        let found = find_problem(&CredentialsError::provider_error(connector)).expect("a problem");
        assert_eq!(found.remedy, "Set it.");
        assert!(find_problem(&CredentialsError::not_loaded("no keys")).is_none());
    }

    #[test]
    fn errors_of_services_that_do_not_respond() {
        let failure = |error: BoxError| {
            let error = SdkError::dispatch_failure(ConnectorError::io(error));
            AwsFailure::from_sdk::<GetCallerIdentityError>(&error)
        };
        let refused = failure(io::Error::from_raw_os_error(111).into());
        let unresolved = "failed to lookup address information: Name or service not known";
        let unresolved = failure(io::Error::other(unresolved).into());
        let proxy = ProxyUrl::parse("http://proxy.corp:3128", "HTTPS_PROXY", "").expect("a URL");
        let url = Uri::from_static("https://sts.eu-west-1.amazonaws.com");
        let timed_out = io::Error::from(io::ErrorKind::TimedOut);
        let proxied = failure(ProxyFailure::or_other(timed_out.into(), Some(&proxy), &url));
        assert_eq!(refused.kind, FailureKind::ConnectionFailed);
        assert_eq!(proxied.kind, FailureKind::TimedOut);
        let errors = [
            unreachable(ErrorCode::StsUnreachable, "STS", "eu-west-1", &refused),
            unreachable(ErrorCode::EksUnreachable, "EKS", "eu-west-1", &refused),
            unreachable(ErrorCode::EcrUnreachable, "ECR", "eu-west-1", &refused),
            unreachable(ErrorCode::StsUnreachable, "STS", "eu-wst-1", &unresolved),
            unreachable(ErrorCode::StsUnreachable, "STS", "eu-west-1", &proxied),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n\n"));
    }
}
