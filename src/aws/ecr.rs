//! Passwords of ECR's registries, private and public.

use anyhow::Context;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::{Answer, DENIED, Session, loader, once, unreachable};
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::registry::{Login, Realm};
use crate::retry::{AttemptError, Retrier};
use crate::secret::Secret;

/// Where the public registry's passwords come from, whatever the region of the rest.
const REGION_OF_PUBLIC: &str = "us-east-1";

/// Asks ECR for a password.
pub async fn log_in(session: &Session, realm: &Realm, retrier: &Retrier) -> anyhow::Result<Login> {
    let region = match realm {
        Realm::Private { region } => region,
        Realm::Public => REGION_OF_PUBLIC,
    };
    let config = loader(Some(region), &session.clock)?
        .credentials_provider(session.keys.credentials())
        .use_fips(session.place.fips && *realm != Realm::Public)
        .retry_config(once())
        .load()
        .await;
    let asked = retrier.run(|| {
        session.clock.watched(async {
            let token = match realm {
                Realm::Private { .. } => private(&aws_sdk_ecr::Client::new(&config)).await,
                Realm::Public => public(&aws_sdk_ecrpublic::Client::new(&config)).await,
            };
            let token =
                token.map_err(|answer| AttemptError::new(answer.cause, refused(realm, region, &answer)))?;
            Ok(token
                .login()
                .with_context(|| format!("reading what {} answered", service(realm)))?)
        })
    });
    asked.await
}

/// What either service answers with.
#[derive(Debug, Default)]
struct Token {
    /// The name of the user, a colon and the password, in base64.
    value: Option<String>,
    expires: Option<DateTime>,
}

async fn private(client: &aws_sdk_ecr::Client) -> Result<Token, Answer> {
    let answer = client.get_authorization_token().send().await.map_err(answer)?;
    let data = answer.authorization_data.unwrap_or_default().into_iter().next();
    Ok(data.map_or_else(Token::default, |data| Token {
        value: data.authorization_token,
        expires: data.expires_at,
    }))
}

async fn public(client: &aws_sdk_ecrpublic::Client) -> Result<Token, Answer> {
    let answer = client.get_authorization_token().send().await.map_err(answer)?;
    Ok(answer
        .authorization_data
        .map_or_else(Token::default, |data| Token {
            value: data.authorization_token,
            expires: data.expires_at,
        }))
}

fn answer<E>(error: SdkError<E, HttpResponse>) -> Answer
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    Answer::of(&error)
}

impl Token {
    fn login(self) -> anyhow::Result<Login> {
        let value = self.value.context("there is no token in it")?;
        let value = STANDARD.decode(value).context("its token is no base64")?;
        let value = String::from_utf8(value).map_err(|_| anyhow::anyhow!("its token is no text"))?;
        let (user, password) = value.split_once(':').context("its token has no password")?;
        let expires = self.expires.context("there is no end of the token in it")?;
        Ok(Login {
            user: user.to_owned(),
            password: Secret::new(password),
            expires: Timestamp::from_second(expires.secs()).context("reading the end of the token")?,
        })
    }
}

fn service(realm: &Realm) -> &'static str {
    match realm {
        Realm::Private { .. } => "ecr:GetAuthorizationToken",
        Realm::Public => "ecr-public:GetAuthorizationToken",
    }
}

fn refused(realm: &Realm, region: &str, answer: &Answer) -> Problem {
    let service = service(realm);
    if !answer.answered {
        return unreachable(ErrorCode::EcrUnreachable, "ECR", region, answer);
    }
    let remedy = if answer.is(DENIED) {
        let actions = match realm {
            Realm::Private { .. } => "\"ecr:GetAuthorizationToken\"",
            Realm::Public => "[\"ecr-public:GetAuthorizationToken\", \"sts:GetServiceBearerToken\"]",
        };
        format!(
            "Add to the role's policy: {{\"Effect\": \"Allow\", \"Action\": {actions}, \"Resource\": \"*\"}}; what may be \
             pulled and pushed is a matter of its other statements. Or leave this registry out of the input `ecr`."
        )
    } else {
        "The service's own message above says what it refused.".to_owned()
    };
    Problem::new(
        ErrorCode::EcrLoginFailed,
        format!("Called {service} in {region} and got {}.", answer.text),
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_login_is_named() {
        let login = |value: &str| {
            let token = Token {
                value: Some(value.into()),
                expires: Some(DateTime::from_secs(1_800_000_000)),
            };
            token.login()
        };
        let good = login(&STANDARD.encode("AWS:pass:word")).expect("a login");
        assert_eq!((good.user.as_str(), good.password.expose()), ("AWS", "pass:word"));
        assert_eq!(good.expires.as_second(), 1_800_000_000);
        for (value, says) in [
            ("%", "no base64"),
            (&STANDARD.encode([0xff]), "no text"),
            (&STANDARD.encode("AWS"), "no password"),
        ] {
            let error = login(value).expect_err(value).to_string();
            assert!(error.contains(says), "{error}");
        }
        let error = Token::default().login().expect_err("nothing");
        assert!(error.to_string().contains("no token"), "{error}");
    }
}
