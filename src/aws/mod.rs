//! AWS: credentials, the cluster's endpoint, its token and ECR passwords. The only module that names a type of the AWS SDK.

mod clock;
mod ecr;
mod eks;
mod http;
mod identity;
mod keys;
mod session;
mod token;

pub use clock::Clock;
pub use ecr::log_in;
#[cfg(fuzzing)]
pub use eks::describe_once;
pub use eks::{Endpoint, describe_cluster};
pub use identity::{AssumeRole, assume_role, caller_account, caller_arn, default_chain, machine_credentials};
pub use keys::AccessKeys;
pub use session::{Identity, Session, session_environment};
pub use token::{EksToken, token};

use http::loader;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_runtime::retries::classifiers::{THROTTLING_ERRORS, TRANSIENT_ERRORS};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::problem::{Problem, chain};
use crate::retry::FailureKind;

/// Returns a configuration without the SDK's own retries: `retry` alone decides what is retried.
fn no_sdk_retries() -> RetryConfig {
    RetryConfig::disabled()
}

/// The region that is called, and whether at its FIPS endpoints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AwsRegion {
    pub name: String,
    /// Set by AWS_USE_FIPS_ENDPOINT or the profile.
    pub fips: bool,
}

/// Returns the region of a loaded configuration.
fn resolve_region(config: &SdkConfig) -> Result<AwsRegion, Problem> {
    let region = config.region().ok_or_else(|| {
        Problem::new(
            ErrorCode::AwsRegionMissing,
            "Looked for the region of the cluster in the input `region`, AWS_REGION, AWS_DEFAULT_REGION, the AWS \
             profile and the instance metadata, and found none.",
            "Set `region`, for example `region: us-west-2`.",
        )
    })?;
    Ok(AwsRegion {
        name: region.as_ref().to_owned(),
        fips: config.use_fips().unwrap_or(false),
    })
}

/// Why a call of AWS failed: the service's error code and message, or the error of the connection.
struct AwsFailure {
    /// Whether the service itself responded.
    from_service: bool,
    code: Option<String>,
    message: String,
    kind: FailureKind,
    /// The error of this program's HTTP client, with its remedy.
    client_error: Option<Problem>,
}

impl AwsFailure {
    fn from_sdk<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let Some(service) = error.as_service_error() else {
            let message = chain(error);
            let client_error = find_problem(error);
            let kind = match (error, status) {
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
    fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|c| codes.contains(&c))
    }
}

/// Returns the problem among the causes of an error.
fn find_problem(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|cause| cause.downcast_ref().cloned())
}

/// Classifies an error of a service. The codes are those of the SDK's own classifier, which is not used because each retry
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
const SEE_MESSAGE: &str = "Follow the service's message above.";

/// The error codes of a missing permission.
const ACCESS_DENIED: &[&str] = &["AccessDenied", "AccessDeniedException"];

/// Returns the partition of a region, as ARNs write it.
fn partition(region: &str) -> &'static str {
    match region.split('-').collect::<Vec<_>>()[..] {
        ["cn", ..] => "aws-cn",
        ["us", "gov", ..] => "aws-us-gov",
        _ => "aws",
    }
}

/// Returns the error for a service that did not respond: the network, a proxy, DNS, or a region that does not exist.
fn unreachable(code: ErrorCode, service: &str, region: &str, failure: &AwsFailure) -> Problem {
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
    use super::*;

    #[test]
    fn errors_of_services_that_do_not_respond() {
        let failure = |kind, message: &str| AwsFailure {
            from_service: false,
            code: None,
            message: message.into(),
            kind,
            client_error: None,
        };
        let refused = failure(
            FailureKind::ConnectionFailed,
            "dispatch failure: tcp connect error: Connection refused (os error 111)",
        );
        let unresolved = failure(
            FailureKind::DnsFailed,
            "dispatch failure: failed to lookup address information: Name or service not known",
        );
        let errors = [
            unreachable(ErrorCode::StsUnreachable, "STS", "eu-west-1", &refused),
            unreachable(ErrorCode::EksUnreachable, "EKS", "eu-west-1", &refused),
            unreachable(ErrorCode::EcrUnreachable, "ECR", "eu-west-1", &refused),
            unreachable(ErrorCode::StsUnreachable, "STS", "eu-wst-1", &unresolved),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n\n"));
    }
}
