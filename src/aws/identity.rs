//! The AWS identity: where access keys come from, and the caller's ARN and account.

use anyhow::Context;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;

use super::clock::Clock;
use super::failure::{ACCESS_DENIED, AwsFailure, SEE_MESSAGE, find_problem, unreachable};
use super::http::{loader, no_sdk_retries, provider_config};
use super::keys::AccessKeys;
use super::region::{AwsRegion, resolve_region};
use super::session::{AssumeRole, Session};
use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::{Problem, chain};
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;

/// Returns keys from the default credential chain (environment, profile, web identity (IRSA), Pod Identity, instance metadata),
/// and the region: the given one, or else the chain's.
pub async fn default_chain(region: Option<&str>, clock: &Clock) -> anyhow::Result<(AccessKeys, AwsRegion)> {
    let config = loader(region, clock)?.load().await;
    let region = resolve_region(&config)?;
    let missing = |why: String| {
        let remedy = if env::in_job() {
            "Set `role-to-assume`, and give the job `permissions: id-token: write`. On a self-hosted runner, attach an \
             instance profile or a Pod Identity association instead."
        } else {
            "Sign in (for example with aws sso login), or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY. On a machine in AWS, attach an instance profile or a Pod Identity association."
        };
        Problem::new(
            ErrorCode::AwsCredentialsMissing,
            format!(
                "Looked for credentials in the default AWS chain (environment, profile, IRSA, Pod Identity, instance \
                 metadata) and got: {why}."
            ),
            remedy,
        )
    };
    let provider = config
        .credentials_provider()
        .ok_or_else(|| missing("no provider is configured".into()))?;
    let behind = clock.behind();
    let mut credentials = provider.provide_credentials().await;
    // A profile may assume a role by a signed call, which fails if the clock is off.
    if credentials.is_err() && clock.corrected_since(behind) {
        credentials = provider.provide_credentials().await;
    }
    let credentials =
        credentials.map_err(|error| find_problem(&error).unwrap_or_else(|| missing(chain(&error))))?;
    Ok((AccessKeys::try_from(credentials)?, region))
}

/// Returns the machine's own keys: the keys of its pod (IRSA, Pod Identity), or else of its instance profile. Keys and profiles
/// in a job's environment are ignored, so that every job of the machine has the same identity.
pub async fn machine_credentials(
    region: Option<&str>,
    clock: &Clock,
) -> anyhow::Result<(AccessKeys, AwsRegion)> {
    let config = loader(region, clock)?.no_credentials().load().await;
    let region = resolve_region(&config)?;
    let config = provider_config(&region, clock)?;
    let irsa = WebIdentityTokenCredentialsProvider::builder().configure(&config);
    let pod_identity = EcsCredentialsProvider::builder().configure(&config);
    let instance = ImdsCredentialsProvider::builder().configure(&config);
    let providers = CredentialsProviderChain::first_try("IRSA", irsa.build())
        .or_else("Pod Identity", pod_identity.build())
        .or_else("instance metadata", instance.build());
    let missing = |error: &CredentialsError| {
        Problem::new(
            ErrorCode::AwsCredentialsMissing,
            format!(
                "Looked for the credentials of this machine (IRSA, Pod Identity, instance metadata) and got: {}.",
                chain(error)
            ),
            "Attach an instance profile to the instance, or a Pod Identity association or an IRSA role to the pod's \
             service account. In a container, instance metadata needs a hop limit of 2: aws ec2 \
             modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2",
        )
    };
    let credentials = providers.provide_credentials().await;
    let credentials = credentials.map_err(|error| find_problem(&error).unwrap_or_else(|| missing(&error)))?;
    Ok((AccessKeys::try_from(credentials)?, region))
}

/// Returns keys of a role, in exchange for the job's OIDC token. It is called once, because each attempt needs a new token.
/// `subject` is the token's subject, for the error.
pub async fn assume_role(
    role: &AssumeRole,
    region: Option<&str>,
    clock: &Clock,
    jwt: &Secret,
    subject: &str,
) -> Result<(AccessKeys, AwsRegion), AttemptError> {
    let config = loader(region, clock)?
        .no_credentials()
        .retry_config(no_sdk_retries());
    let config = config.load().await;
    let region = resolve_region(&config)?;
    let response = aws_sdk_sts::Client::new(&config)
        .assume_role_with_web_identity()
        .role_arn(&role.arn)
        .role_session_name(&role.session_name)
        .web_identity_token(jwt.expose())
        .send()
        .await;
    let output = response.map_err(|error| {
        let failure = AwsFailure::from_sdk(&error);
        AttemptError::new(
            failure.kind,
            assume_role_failed(role, &region.name, subject, &failure),
        )
    })?;
    let keys = output.credentials().ok_or_else(|| {
        Problem::new(
            ErrorCode::InvalidStsResponse,
            format!(
                "Asked STS for the role {} and got a response without credentials.",
                role.arn
            ),
            "Check what responds at the STS endpoint of this region, for example a proxy.",
        )
    })?;
    let expires = jiff::Timestamp::from_second(keys.expiration().secs());
    let expires = expires.context("reading the expiry of the credentials")?;
    let keys = AccessKeys {
        access_key_id: keys.access_key_id().to_owned(),
        secret_access_key: Secret::new(keys.secret_access_key()),
        session_token: Some(Secret::new(keys.session_token())),
        expires: Some(expires),
    };
    Ok((keys, region))
}

fn assume_role_failed(role: &AssumeRole, region: &str, subject: &str, failure: &AwsFailure) -> Problem {
    if !failure.from_service {
        return unreachable(ErrorCode::StsUnreachable, "STS", region, failure);
    }
    let account = role.arn.split(':').nth(4).unwrap_or("ACCOUNT");
    let partition = role.arn.split(':').nth(1).unwrap_or("aws");
    let provider =
        format!("arn:{partition}:iam::{account}:oidc-provider/token.actions.githubusercontent.com");
    let remedy = if failure.has_code(ACCESS_DENIED) {
        format!(
            "Check that the role exists and that its trust policy allows this job. The statement that allows it:\n\
             {{\"Effect\": \"Allow\", \"Action\": \"sts:AssumeRoleWithWebIdentity\", \"Principal\": {{\"Federated\": \
             \"{provider}\"}}, \"Condition\": {{\"StringEquals\": \
             {{\"token.actions.githubusercontent.com:aud\": \"{}\", \
             \"token.actions.githubusercontent.com:sub\": \"{subject}\"}}}}}}",
            role.audience
        )
    } else if failure.has_code(&["InvalidIdentityToken"]) {
        format!(
            "Create the identity provider {provider} in account {account}, with the audience {}: \
             aws iam create-open-id-connect-provider --url https://token.actions.githubusercontent.com \
             --client-id-list {}",
            role.audience, role.audience
        )
    } else {
        SEE_MESSAGE.to_owned()
    };
    Problem::new(
        ErrorCode::CannotAssumeRole,
        format!(
            "Asked STS in {region} for the role {} with this job's OIDC token (subject {subject}, audience {}) and \
             got {}.",
            role.arn, role.audience, failure.message
        ),
        remedy,
    )
}

/// Returns the caller's ARN as an access entry has it, for messages.
pub async fn caller_arn(session: &Session) -> Result<String, Problem> {
    let region = &session.region.name;
    let response = sts(session).await?.get_caller_identity().send().await;
    let output = response.map_err(|error| cannot_determine_caller(region, &AwsFailure::from_sdk(&error)))?;
    output.arn().map(principal_arn).ok_or_else(|| {
        Problem::new(
            ErrorCode::InvalidStsResponse,
            format!("Called sts:GetCallerIdentity in {region} and got a response without an ARN."),
            "Check what responds at the STS endpoint of this region, for example a proxy.",
        )
    })
}

fn cannot_determine_caller(region: &str, failure: &AwsFailure) -> Problem {
    let problem = cannot_determine_account(region, failure);
    if !failure.from_service {
        return problem;
    }
    Problem {
        remedy: "Check that the AWS credentials are valid and have not expired. If AWS is throttling or failing, try again.".into(),
        ..problem
    }
}

/// Returns the caller's account: from the ARN of the session's role, or else from STS, which needs no permission.
pub async fn caller_account(session: &Session, retrier: &Retrier) -> anyhow::Result<String> {
    let of_role = session
        .identity
        .role()
        .and_then(|role| role.arn.split(':').nth(4));
    if let Some(account) = of_role {
        return Ok(account.to_owned());
    }
    let region = &session.region.name;
    let client = sts(session).await?;
    let account = retrier.run(|| {
        session.clock.with_clock_check(async {
            let response = client.get_caller_identity().send().await.map_err(|error| {
                let failure = AwsFailure::from_sdk(&error);
                AttemptError::new(failure.kind, cannot_determine_account(region, &failure))
            })?;
            let account = response
                .account()
                .context("the response of sts:GetCallerIdentity has no account")?;
            Ok(account.to_owned())
        })
    });
    account.await
}

async fn sts(session: &Session) -> Result<aws_sdk_sts::Client, Problem> {
    let config = loader(Some(&session.region.name), &session.clock)?
        .credentials_provider(session.keys.credentials())
        .retry_config(no_sdk_retries())
        .load()
        .await;
    Ok(aws_sdk_sts::Client::new(&config))
}

fn cannot_determine_account(region: &str, failure: &AwsFailure) -> Problem {
    if !failure.from_service {
        return unreachable(ErrorCode::StsUnreachable, "STS", region, failure);
    }
    Problem::new(
        ErrorCode::AccountUnknown,
        format!(
            "Called sts:GetCallerIdentity in {region} and got {}.",
            failure.message
        ),
        "Check that the AWS credentials have not expired, or set the account in `ecr`, as ACCOUNT/REGION.",
    )
}

/// Returns the ARN that an access entry needs: STS returns the ARN of a role's session, an access entry has the role's. The
/// session's ARN does not have the role's path.
fn principal_arn(caller: &str) -> String {
    let parts: Vec<&str> = caller.split(':').collect();
    match parts[..] {
        [arn, partition, "sts", _, account, resource] => {
            let role = resource
                .strip_prefix("assumed-role/")
                .and_then(|r| r.split('/').next());
            role.map_or_else(
                || caller.to_owned(),
                |role| format!("{arn}:{partition}:iam::{account}:role/{role}"),
            )
        }
        _ => caller.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principal_arns_of_callers() {
        for (caller, expected) in [
            (
                "arn:aws:sts::123456789012:assumed-role/ci/run",
                "arn:aws:iam::123456789012:role/ci",
            ),
            (
                "arn:aws-cn:sts::123456789012:assumed-role/ci/i-0",
                "arn:aws-cn:iam::123456789012:role/ci",
            ),
            (
                "arn:aws:iam::123456789012:user/octocat",
                "arn:aws:iam::123456789012:user/octocat",
            ),
        ] {
            assert_eq!(principal_arn(caller), expected);
        }
    }
}
