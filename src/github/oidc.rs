//! The job's OIDC token
//! (<https://docs.github.com/actions/reference/openid-connect-reference>).

use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use serde::Deserialize;

use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::retry::{self, AttemptError, FailureKind};
use crate::secret::Secret;
use crate::web::{Client, no_answer};

/// A token that says which job this is; it lives five minutes, so it is asked for where it is used.
#[derive(Debug)]
pub struct IdToken {
    pub jwt: Secret,
    /// What a trust policy compares, such as `repo:acme/shop:ref:refs/heads/main`.
    pub subject: String,
}

#[derive(Deserialize)]
struct Answer {
    value: Secret,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

const WITHIN: Duration = Duration::from_secs(15);

/// Asks once: whoever needs it asks for a new one with each attempt.
pub async fn id_token(audience: &str) -> Result<IdToken, AttemptError> {
    let (Some(url), Some(bearer)) = (
        env::get(env::ACTIONS_ID_TOKEN_REQUEST_URL),
        env::get(env::ACTIONS_ID_TOKEN_REQUEST_TOKEN),
    ) else {
        return Err(Problem::new(
            ErrorCode::OidcTokenUnavailable,
            "Looked for ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, with which a job asks \
             GitHub for its OIDC token, and the runner has not set them.",
            "Add to the job: `permissions: { id-token: write, contents: read }`. A workflow called by another needs \
             it in its caller too; a pull request from a fork never gets it.",
        )
        .into());
    };
    let bearer = Secret::new(bearer);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("audience", audience)
        .finish();
    // GitHub's URL has a query already, that of an Enterprise server may not.
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}{query}");
    let answer = retry::with_timeout(WITHIN, FailureKind::TimedOut, ask(&url, &bearer)).await;
    let jwt = answer.map_err(|failed| {
        if failed.error.is::<Problem>() {
            return failed;
        }
        let problem = Problem::new(
            ErrorCode::OidcTokenUnavailable,
            format!(
                "Asked GitHub's OIDC endpoint for a token for {audience} and got: {:#}.",
                failed.error
            ),
            "Run the job again; if it stays, see githubstatus.com and what this runner may reach.",
        );
        AttemptError::new(failed.kind, problem)
    })?;
    let subject = subject(&jwt).unwrap_or_else(|| "unknown".into());
    Ok(IdToken { jwt, subject })
}

async fn ask(url: &str, bearer: &Secret) -> Result<Secret, AttemptError> {
    let request = Request::get(url)
        .header(http::header::AUTHORIZATION, format!("Bearer {}", bearer.expose()))
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::USER_AGENT, "remote-buildkit")
        .body(Empty::<Bytes>::new())
        .context("a URL that is none")?;
    let client = Client::of(request.uri())?;
    let answer = client.send(request).await;
    let response = answer.map_err(|error| no_answer(&error))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| no_answer(&error))?.to_bytes();
    if status != StatusCode::OK {
        return Err(AttemptError::new(
            FailureKind::from_status(status.as_u16()),
            anyhow::anyhow!("{status}"),
        ));
    }
    Ok(jwt(&body)?)
}

fn jwt(body: &[u8]) -> anyhow::Result<Secret> {
    let answer: Answer = serde_json::from_slice(body).context("an answer that is not a token")?;
    Ok(answer.value)
}

/// As [`id_token`] reads an answer.
#[cfg(fuzzing)]
pub fn id_token_of(body: &[u8]) -> anyhow::Result<IdToken> {
    let jwt = jwt(body)?;
    let subject = subject(&jwt).unwrap_or_default();
    Ok(IdToken { jwt, subject })
}

/// The subject in a JWT, unverified: it is shown in an error and decides nothing.
fn subject(jwt: &Secret) -> Option<String> {
    let payload = jwt.expose().split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(claims.sub).filter(|sub| !sub.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_of_a_jwt() {
        let jwt = |payload: &str| Secret::new(format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload)));
        assert_eq!(
            subject(&jwt(r#"{"sub":"repo:acme/shop:ref:refs/heads/main"}"#)).as_deref(),
            Some("repo:acme/shop:ref:refs/heads/main")
        );
        assert_eq!(subject(&jwt("{}")), None);
        assert_eq!(subject(&Secret::new("nonsense")), None);
    }
}
