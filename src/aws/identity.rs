//! Who we are to AWS.

use anyhow::Context;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::ProvideCredentials;
use serde::{Deserialize, Serialize};

use super::http::provider_config;
use super::keys::Keys;
use super::{Answer, Clock, DENIED, Place, Session, loader, once, place, unreachable};
use crate::error_code::ErrorCode;
use crate::problem::{Problem, chain};
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;

/// A role to assume with a web identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssumeRole {
    pub arn: String,
    pub audience: String,
    /// What CloudTrail and the cluster's audit log will show.
    pub session_name: String,
}

/// Keys from the default chain: environment, profile, web identity (IRSA), Pod Identity, instance metadata; and the
/// region, the given one or the chain's.
pub async fn default_chain(wanted: Option<&str>, clock: &Clock) -> anyhow::Result<(Keys, Place)> {
    let config = loader(wanted, clock)?.load().await;
    let place = place(&config)?;
    let none = |why: String| {
        Problem::new(
            ErrorCode::AwsCredentialsMissing,
            format!(
                "Asked the default AWS chain (environment, profile, IRSA, Pod Identity, instance metadata) for \
                 credentials and got: {why}."
            ),
            "In GitHub Actions set the input `role-to-assume` and give the job `permissions: id-token: write`; on a \
             self-hosted runner attach an instance profile or a Pod Identity association.",
        )
    };
    let provider = config
        .credentials_provider()
        .ok_or_else(|| none("no provider is configured".into()))?;
    let behind = clock.behind();
    let mut credentials = provider.provide_credentials().await;
    // A profile may assume a role with a signed call.
    if credentials.is_err() && clock.corrected_since(behind) {
        credentials = provider.provide_credentials().await;
    }
    let credentials = credentials.map_err(|e| none(chain(&e)))?;
    Ok((Keys::try_from(credentials)?, place))
}

/// Keys of the machine itself: of its pod (IRSA, Pod Identity), or else of its instance profile. What a job puts into
/// the environment for itself, keys or a profile, is not looked at, so that every job of the machine has the same.
pub async fn machine(wanted: Option<&str>, clock: &Clock) -> anyhow::Result<(Keys, Place)> {
    let config = loader(wanted, clock)?.no_credentials().load().await;
    let place = place(&config)?;
    let config = provider_config(&place, clock)?;
    let irsa = WebIdentityTokenCredentialsProvider::builder().configure(&config);
    let pod_identity = EcsCredentialsProvider::builder().configure(&config);
    let instance = ImdsCredentialsProvider::builder().configure(&config);
    let providers = CredentialsProviderChain::first_try("IRSA", irsa.build())
        .or_else("Pod Identity", pod_identity.build())
        .or_else("instance metadata", instance.build());
    let credentials = providers.provide_credentials().await.map_err(|error| {
        Problem::new(
            ErrorCode::AwsCredentialsMissing,
            format!(
                "Asked for the credentials of this machine (IRSA, Pod Identity, instance metadata) and got: {}.",
                chain(&error)
            ),
            "Attach an instance profile to the instance, or to the pod's service account a Pod Identity association or \
             a role of IRSA. In a container, instance metadata wants a hop limit of 2: aws ec2 \
             modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2",
        )
    })?;
    Ok((Keys::try_from(credentials)?, place))
}

/// Keys of a role, for a token of the job's OIDC issuer: asked once, for the next attempt wants a new token. `subject`
/// is that token's, for the error alone.
pub async fn assume_role(
    role: &AssumeRole,
    wanted: Option<&str>,
    clock: &Clock,
    jwt: &Secret,
    subject: &str,
) -> Result<(Keys, Place), AttemptError> {
    let config = loader(wanted, clock)?.no_credentials().retry_config(once());
    let config = config.load().await;
    let place = place(&config)?;
    let answer = aws_sdk_sts::Client::new(&config)
        .assume_role_with_web_identity()
        .role_arn(&role.arn)
        .role_session_name(&role.session_name)
        .web_identity_token(jwt.expose())
        .send()
        .await;
    let output = answer.map_err(|error| {
        let answer = Answer::of(&error);
        AttemptError::new(answer.cause, refused(role, &place.region, subject, &answer))
    })?;
    let keys = output.credentials().ok_or_else(|| {
        Problem::new(
            ErrorCode::InvalidStsResponse,
            format!(
                "Asked STS for the role {} and got an answer without credentials.",
                role.arn
            ),
            "Check what answers at the STS endpoint of this region.",
        )
    })?;
    let expires = jiff::Timestamp::from_second(keys.expiration().secs());
    let expires = expires.context("reading the expiry of the credentials")?;
    let keys = Keys {
        access_key_id: keys.access_key_id().to_owned(),
        secret_access_key: Secret::new(keys.secret_access_key()),
        session_token: Some(Secret::new(keys.session_token())),
        expires: Some(expires),
    };
    Ok((keys, place))
}

fn refused(role: &AssumeRole, region: &str, subject: &str, answer: &Answer) -> Problem {
    if !answer.answered {
        return unreachable(ErrorCode::StsUnreachable, "STS", region, answer);
    }
    let account = role.arn.split(':').nth(4).unwrap_or("ACCOUNT");
    let partition = role.arn.split(':').nth(1).unwrap_or("aws");
    let provider =
        format!("arn:{partition}:iam::{account}:oidc-provider/token.actions.githubusercontent.com");
    let remedy = if answer.is(DENIED) {
        format!(
            "Either the role does not exist or its trust policy does not admit this job. The statement that does:\n\
             {{\"Effect\": \"Allow\", \"Action\": \"sts:AssumeRoleWithWebIdentity\", \"Principal\": {{\"Federated\": \
             \"{provider}\"}}, \"Condition\": {{\"StringEquals\": \
             {{\"token.actions.githubusercontent.com:aud\": \"{}\", \
             \"token.actions.githubusercontent.com:sub\": \"{subject}\"}}}}}}",
            role.audience
        )
    } else if answer.is(&["InvalidIdentityToken"]) {
        format!(
            "Account {account} needs the identity provider {provider} with the audience {}: \
             aws iam create-open-id-connect-provider --url https://token.actions.githubusercontent.com \
             --client-id-list {}",
            role.audience, role.audience
        )
    } else {
        "The service's own message above says what it refused.".to_owned()
    };
    Problem::new(
        ErrorCode::CannotAssumeRole,
        format!(
            "Asked STS in {region} for the role {} with this job's OIDC token (subject {subject}, audience {}) and \
             got {}.",
            role.arn, role.audience, answer.text
        ),
        remedy,
    )
}

/// The ARN of the caller as an access entry wants it, for messages; `None` when even that cannot be had.
pub async fn caller(session: &Session) -> Option<String> {
    let client = sts(session).await.ok()?;
    let answer = client.get_caller_identity().send().await;
    answer.ok()?.arn().map(principal)
}

/// The account that a session is of: of its role, or else as STS says, which needs no permission.
pub async fn account(session: &Session, retrier: &Retrier) -> anyhow::Result<String> {
    let of_role = session
        .identity
        .role()
        .and_then(|role| role.arn.split(':').nth(4));
    if let Some(account) = of_role {
        return Ok(account.to_owned());
    }
    let region = &session.place.region;
    let client = sts(session).await?;
    let asked = retrier.run(|| {
        session.clock.watched(async {
            let answer = client.get_caller_identity().send().await.map_err(|error| {
                let answer = Answer::of(&error);
                AttemptError::new(answer.cause, anonymous(region, &answer))
            })?;
            let account = answer.account().context("STS names no account of the caller")?;
            Ok(account.to_owned())
        })
    });
    asked.await
}

async fn sts(session: &Session) -> anyhow::Result<aws_sdk_sts::Client> {
    let config = loader(Some(&session.place.region), &session.clock)?
        .credentials_provider(session.keys.credentials())
        .retry_config(once())
        .load()
        .await;
    Ok(aws_sdk_sts::Client::new(&config))
}

fn anonymous(region: &str, answer: &Answer) -> Problem {
    if !answer.answered {
        return unreachable(ErrorCode::StsUnreachable, "STS", region, answer);
    }
    Problem::new(
        ErrorCode::AccountUnknown,
        format!(
            "Called sts:GetCallerIdentity in {region} and got {}.",
            answer.text
        ),
        "Check that the AWS credentials have not expired; or name the account in the input `ecr`, as ACCOUNT/REGION.",
    )
}

/// STS names the session of a role, an access entry the role. A path of the role's is not in the session's ARN.
fn principal(caller: &str) -> String {
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
    fn principals_of_callers() {
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
            assert_eq!(principal(caller), expected);
        }
    }
}
