//! Passwords for ECR registries, private and public.

use anyhow::Context;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::failure::{ACCESS_DENIED, AwsFailure, SEE_MESSAGE, unreachable};
use super::http::{loader, no_sdk_retries};
use super::session::Session;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::registry::{Login, Realm};
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;

/// The only region that issues passwords for the public registry.
const PUBLIC_REGION: &str = "us-east-1";

/// Requests a registry password from ECR.
pub async fn log_in(session: &Session, realm: &Realm, retrier: &Retrier) -> anyhow::Result<Login> {
    let region = match realm {
        Realm::Private { region } => region,
        Realm::Public => PUBLIC_REGION,
    };
    let config = loader(Some(region), &session.clock)?
        .credentials_provider(session.keys.credentials())
        .use_fips(session.region.fips && *realm != Realm::Public)
        .retry_config(no_sdk_retries())
        .load()
        .await;
    let login = retrier.run(|| {
        session.clock.with_clock_check(async {
            let token = match realm {
                Realm::Private { .. } => private(&aws_sdk_ecr::Client::new(&config)).await,
                Realm::Public => public(&aws_sdk_ecrpublic::Client::new(&config)).await,
            };
            let token = token
                .map_err(|failure| AttemptError::new(failure.kind, login_failed(realm, region, &failure)))?;
            Ok(token
                .login()
                .with_context(|| format!("reading the response of {}", action(realm)))?)
        })
    });
    login.await
}

/// The authorization token of either service.
#[derive(Debug, Default)]
struct AuthorizationToken {
    /// `USER:PASSWORD` in base64.
    value: Option<String>,
    expires: Option<DateTime>,
}

async fn private(client: &aws_sdk_ecr::Client) -> Result<AuthorizationToken, AwsFailure> {
    let response = client.get_authorization_token().send().await.map_err(failure)?;
    let data = response.authorization_data.unwrap_or_default().into_iter().next();
    Ok(
        data.map_or_else(AuthorizationToken::default, |data| AuthorizationToken {
            value: data.authorization_token,
            expires: data.expires_at,
        }),
    )
}

async fn public(client: &aws_sdk_ecrpublic::Client) -> Result<AuthorizationToken, AwsFailure> {
    let response = client.get_authorization_token().send().await.map_err(failure)?;
    Ok(response
        .authorization_data
        .map_or_else(AuthorizationToken::default, |data| AuthorizationToken {
            value: data.authorization_token,
            expires: data.expires_at,
        }))
}

fn failure<E>(error: SdkError<E, HttpResponse>) -> AwsFailure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    AwsFailure::from_sdk(&error)
}

impl AuthorizationToken {
    fn login(self) -> anyhow::Result<Login> {
        let value = self.value.context("it has no token")?;
        let value = STANDARD.decode(value).context("its token is not valid base64")?;
        let value = String::from_utf8(value).map_err(|_| anyhow::anyhow!("its token is not valid UTF-8"))?;
        let (user, password) = value.split_once(':').context("its token has no password")?;
        let expires = self.expires.context("its token has no expiry")?;
        Ok(Login {
            user: user.to_owned(),
            password: Secret::new(password),
            expires: Timestamp::from_second(expires.secs()).context("reading the token's expiry")?,
        })
    }
}

/// Returns the IAM action of the call.
fn action(realm: &Realm) -> &'static str {
    match realm {
        Realm::Private { .. } => "ecr:GetAuthorizationToken",
        Realm::Public => "ecr-public:GetAuthorizationToken",
    }
}

fn login_failed(realm: &Realm, region: &str, failure: &AwsFailure) -> Problem {
    if !failure.from_service {
        return unreachable(ErrorCode::EcrUnreachable, "ECR", region, failure);
    }
    let remedy = if failure.has_code(ACCESS_DENIED) {
        let actions = match realm {
            Realm::Private { .. } => "\"ecr:GetAuthorizationToken\"",
            Realm::Public => "[\"ecr-public:GetAuthorizationToken\", \"sts:GetServiceBearerToken\"]",
        };
        format!(
            "Add to the role's policy: {{\"Effect\": \"Allow\", \"Action\": {actions}, \"Resource\": \"*\"}}. Other \
             statements permit pulling and pushing. Or remove this registry from `ecr`."
        )
    } else {
        SEE_MESSAGE.to_owned()
    };
    Problem::new(
        ErrorCode::EcrLoginFailed,
        format!(
            "Called {} in {region} and got {}.",
            action(realm),
            failure.message
        ),
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_token_is_an_error() {
        let login = |value: &str| {
            let token = AuthorizationToken {
                value: Some(value.into()),
                expires: Some(DateTime::from_secs(1_800_000_000)),
            };
            token.login()
        };
        let good = login(&STANDARD.encode("AWS:pass:word")).expect("a login");
        assert_eq!((good.user.as_str(), good.password.expose()), ("AWS", "pass:word"));
        assert_eq!(good.expires.as_second(), 1_800_000_000);
        for (value, expected) in [
            ("%", "not valid base64"),
            (&STANDARD.encode([0xff]), "not valid UTF-8"),
            (&STANDARD.encode("AWS"), "has no password"),
        ] {
            let error = login(value).expect_err(value).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let error = AuthorizationToken::default().login().expect_err("nothing");
        assert!(error.to_string().contains("has no token"), "{error}");
    }
}
