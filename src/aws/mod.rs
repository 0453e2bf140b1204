//! AWS: credentials, where the cluster is, the token. The only module that names an AWS type.

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
pub use eks::ask as describe_once;
pub use eks::{Endpoint, describe_cluster};
pub use identity::{AssumeRole, account, assume_role, caller, default_chain, machine};
pub use keys::Keys;
pub use session::{Identity, Session, environment_of};
pub use token::token;

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

/// For our own calls, which `retry` sees to.
fn once() -> RetryConfig {
    RetryConfig::disabled()
}

/// Where the calls go.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    pub region: String,
    /// AWS_USE_FIPS_ENDPOINT or the profile asked for FIPS endpoints.
    pub fips: bool,
}

fn place(config: &SdkConfig) -> Result<Place, Problem> {
    let region = config.region().ok_or_else(|| {
        Problem::new(
            ErrorCode::AwsRegionMissing,
            "Looked for the region of the cluster in the input `region`, AWS_REGION, AWS_DEFAULT_REGION, the AWS \
             profile and the instance metadata; none names one.",
            "Set the input `region`, such as `region: us-west-2`.",
        )
    })?;
    Ok(Place {
        region: region.as_ref().to_owned(),
        fips: config.use_fips().unwrap_or(false),
    })
}

/// An error of a service: its code and message, or why there was no answer.
struct Answer {
    /// Whether it is the service that says so.
    answered: bool,
    code: Option<String>,
    text: String,
    cause: FailureKind,
}

impl Answer {
    fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let Some(service) = error.as_service_error() else {
            let text = chain(error);
            let cause = match (error, status) {
                (_, Some(status)) => FailureKind::from_status(status),
                (SdkError::TimeoutError(_), _) => FailureKind::TimedOut,
                _ => FailureKind::from_error(error),
            };
            return Self {
                answered: false,
                code: None,
                text,
                cause,
            };
        };
        // AccessDenied is not modelled by DescribeCluster, so the variants of the error cannot be relied on.
        let meta = service.meta();
        let code = meta.code().map(str::to_owned);
        let message = meta.message().unwrap_or("no message");
        Self {
            answered: true,
            text: match (&code, status) {
                (Some(code), _) => format!("{code}: {message}"),
                (None, Some(status)) => format!("HTTP status {status}: {message}"),
                (None, None) => message.to_owned(),
            },
            cause: cause(
                code.as_deref().unwrap_or_default(),
                message,
                status.unwrap_or_default(),
            ),
            code,
        }
    }

    fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|c| codes.contains(&c))
    }
}

/// What the SDK's own classifier knows, which does not see to it that a web identity is fetched anew; and what STS says
/// when it could not ask the issuer for its keys.
fn cause(code: &str, message: &str, status: u16) -> FailureKind {
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

const DENIED: &[&str] = &["AccessDenied", "AccessDeniedException"];

/// The partition a region is in, as ARNs name it.
fn partition(region: &str) -> &'static str {
    match region.split('-').collect::<Vec<_>>()[..] {
        ["cn", ..] => "aws-cn",
        ["us", "gov", ..] => "aws-us-gov",
        _ => "aws",
    }
}

/// No answer at all: the network, a proxy, or a region that does not exist.
fn unreachable(code: ErrorCode, service: &str, region: &str, answer: &Answer) -> Problem {
    Problem::new(
        code,
        format!("Called {service} in {region} and got no answer: {}.", answer.text),
        "Check that the region is spelt right and that this runner may reach AWS.",
    )
}
