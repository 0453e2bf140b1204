//! Calls of an administrator: the errors name the IAM permission that is missing.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::clock::Clock;
use super::failure::{ACCESS_DENIED, AwsFailure, SEE_MESSAGE, unreachable};
use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::problem::Problem;
use crate::retry::{AttemptError, Retrier};

/// What a call needs: the permission, and the place that the errors name.
#[derive(Debug, Clone, Copy)]
pub(super) struct AwsCall<'a> {
    /// `IAM` or `EKS`.
    pub(super) service: &'static str,
    pub(super) region: &'a str,
    /// The IAM action.
    pub(super) action: &'static str,
    /// The ARN of the resource.
    pub(super) resource: &'a str,
}

/// The codes of a resource that does not exist.
const NOT_FOUND: &[&str] = &["NoSuchEntity", "ResourceNotFoundException"];

impl AwsCall<'_> {
    /// Sends a request with retries.
    pub(super) async fn send<T, E, F>(
        &self,
        clock: &Clock,
        retrier: &Retrier,
        request: impl Fn() -> F,
    ) -> anyhow::Result<T>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let sent = retrier.run(|| {
            clock.with_clock_check(async { request().await.map_err(|error| self.attempt_error(&error)) })
        });
        sent.await
    }

    /// Sends a request for a resource that need not exist.
    pub(super) async fn find<T, E, F>(
        &self,
        clock: &Clock,
        retrier: &Retrier,
        request: impl Fn() -> F,
    ) -> anyhow::Result<Option<T>>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let sent = retrier.run(|| {
            clock.with_clock_check(async {
                match request().await {
                    Ok(found) => Ok(Some(found)),
                    Err(error) if AwsFailure::from_sdk(&error).has_code(NOT_FOUND) => Ok(None),
                    Err(error) => Err(self.attempt_error(&error)),
                }
            })
        });
        sent.await
    }

    fn attempt_error<E>(&self, error: &SdkError<E, HttpResponse>) -> AttemptError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = AwsFailure::from_sdk(error);
        let kind = if is_role_unknown(&failure) {
            FailureKind::NotReady
        } else {
            failure.kind
        };
        AttemptError::new(kind, self.failed(&failure))
    }

    fn failed(&self, failure: &AwsFailure) -> Problem {
        let Self {
            service,
            region,
            action,
            resource,
        } = self;
        if !failure.from_service {
            let code = if *service == "EKS" {
                ErrorCode::EksUnreachable
            } else {
                ErrorCode::IamUnreachable
            };
            return unreachable(code, service, region, failure);
        }
        let what = format!("Called {action} for {resource} and got {}.", failure.message);
        if !failure.has_code(ACCESS_DENIED) {
            return Problem::new(ErrorCode::AwsRequestFailed, what, SEE_MESSAGE);
        }
        let (denied, on) = denied_permission(&failure.message);
        Problem::new(
            ErrorCode::AwsPermissionDenied,
            what,
            format!(
                "Add to the policy of the identity that runs this command: {{\"Effect\": \"Allow\", \"Action\": \"{}\", \
                 \"Resource\": \"{}\"}}",
                denied.unwrap_or(action),
                on.unwrap_or(resource)
            ),
        )
    }
}

/// Returns whether EKS does not know a role yet that IAM has just created. IAM is eventually consistent
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html>).
fn is_role_unknown(failure: &AwsFailure) -> bool {
    failure.has_code(&["InvalidParameterException"]) && failure.message.contains("principalArn")
}

/// Returns the action and the resource that the message of a denial names. A call may need more than its own action: a role
/// with tags also needs `iam:TagRole`.
fn denied_permission(message: &str) -> (Option<&str>, Option<&str>) {
    let word_after = |words: &str| {
        let (_, rest) = message.split_once(words)?;
        let word = rest.split_whitespace().next()?;
        let word = word.trim_matches(|c: char| "\"'.,".contains(c));
        word.contains(':').then_some(word)
    };
    (
        word_after("not authorized to perform: "),
        word_after(" on resource: "),
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::operation::create_role::CreateRoleError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    use super::*;

    const CALL: AwsCall<'_> = AwsCall {
        service: "IAM",
        region: "us-west-2",
        action: "iam:CreateRole",
        resource: "arn:aws:iam::123456789012:role/remote-buildkit",
    };

    fn service_error(code: &str, message: &str) -> SdkError<CreateRoleError, HttpResponse> {
        let metadata = ErrorMetadata::builder().code(code).message(message).build();
        let status = StatusCode::try_from(400).expect("a status");
        SdkError::service_error(
            CreateRoleError::generic(metadata),
            HttpResponse::new(status, SdkBody::empty()),
        )
    }

    #[test]
    fn errors_of_an_administrators_calls() {
        let denied = "User: arn:aws:iam::123456789012:user/ada is not authorized to perform: ";
        let role = "on resource: arn:aws:iam::123456789012:role/remote-buildkit because no identity-based policy allows the \
                    action";
        let errors = [
            service_error("AccessDenied", &format!("{denied}iam:CreateRole {role}")),
            service_error("AccessDenied", &format!("{denied}iam:TagRole {role}")),
            service_error("AccessDenied", "denied by a policy"),
            service_error("MalformedPolicyDocument", "Invalid principal in policy"),
            SdkError::dispatch_failure(ConnectorError::io(std::io::Error::from_raw_os_error(111).into())),
        ];
        let texts = errors.map(|error| CALL.attempt_error(&error).error.to_string());
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn a_role_that_eks_does_not_know_yet_is_retried() {
        let message = "The specified principalArn is invalid: invalid principal";
        let unknown = CALL.attempt_error(&service_error("InvalidParameterException", message));
        assert_eq!(unknown.kind, FailureKind::NotReady);
        let other = CALL.attempt_error(&service_error("InvalidParameterException", "groups"));
        assert_eq!(other.kind, FailureKind::Permanent);
    }
}
