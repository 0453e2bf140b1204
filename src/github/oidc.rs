//! The job's OIDC token, from the runner's endpoint
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
use crate::failure_kind::FailureKind;
use crate::http_client::{ServerClient, no_response};
use crate::problem::Problem;
use crate::retry::{self, AttemptError};
use crate::secret::Secret;

/// A token that proves the job's identity. It is valid for five minutes, so it is requested where it is used.
#[derive(Debug)]
pub struct IdToken {
    pub jwt: Secret,
    /// The claim that a trust policy compares, such as `repo:acme/shop:ref:refs/heads/main`.
    pub subject: String,
}

#[derive(Deserialize)]
struct IdTokenResponse {
    value: Secret,
}

#[derive(Deserialize)]
struct IdTokenClaims {
    sub: String,
}

const TIMEOUT: Duration = Duration::from_secs(15);

/// Requests a token once: each attempt of a caller needs a new token.
pub async fn id_token(audience: &str) -> Result<IdToken, AttemptError> {
    let (Some(url), Some(bearer)) = (
        env::get(env::ACTIONS_ID_TOKEN_REQUEST_URL),
        env::get(env::ACTIONS_ID_TOKEN_REQUEST_TOKEN),
    ) else {
        return Err(Problem::new(
            ErrorCode::OidcTokenUnavailable,
            "The runner did not set ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN, with which a job \
             requests its OIDC token from GitHub.",
            "Add to the job: `permissions: { id-token: write, contents: read }`. A reusable workflow needs it in its \
             caller too. Pull requests of forks get no OIDC token. Set `unavailable: local` to build them, and those of \
             Dependabot, with buildx's own builder.",
        )
        .into());
    };
    let bearer = Secret::new(bearer);
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("audience", audience)
        .finish();
    // GitHub's URL already has a query; the URL of an Enterprise server may have none.
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}{query}");
    let response = retry::with_timeout(TIMEOUT, FailureKind::TimedOut, request_once(&url, &bearer)).await;
    let jwt = response.map_err(|failed| {
        if failed.error.is::<Problem>() {
            return failed;
        }
        let what = format!(
            "Asked GitHub's OIDC endpoint for a token for {audience} and got: {:#}.",
            failed.error
        );
        let problem = if failed.kind == FailureKind::DnsFailed {
            let remedy = "Check this runner's DNS (/etc/resolv.conf), then run the job again.";
            Problem::new(ErrorCode::DnsFailed, what, remedy)
        } else {
            let remedy = "Run the job again. If it fails again, check githubstatus.com and this runner's network access.";
            Problem::new(ErrorCode::OidcTokenUnavailable, what, remedy)
        };
        AttemptError::new(failed.kind, problem)
    })?;
    let subject = subject(&jwt).unwrap_or_else(|| "unknown".into());
    Ok(IdToken { jwt, subject })
}

async fn request_once(url: &str, bearer: &Secret) -> Result<Secret, AttemptError> {
    let request = Request::get(url)
        .header(http::header::AUTHORIZATION, format!("Bearer {}", bearer.expose()))
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::USER_AGENT, "remote-buildkit")
        .body(Empty::<Bytes>::new())
        .context("ACTIONS_ID_TOKEN_REQUEST_URL is not a valid URL")?;
    let client = ServerClient::for_url(request.uri())?;
    let response = client.send(request).await;
    let response = response.map_err(|error| no_response(&*error))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| no_response(&error))?.to_bytes();
    if status != StatusCode::OK {
        return Err(AttemptError::new(
            FailureKind::from_status(status.as_u16()),
            anyhow::anyhow!("{status}"),
        ));
    }
    Ok(jwt(&body)?)
}

fn jwt(body: &[u8]) -> anyhow::Result<Secret> {
    let response: IdTokenResponse = serde_json::from_slice(body).context("a response without a token")?;
    Ok(response.value)
}

/// Parses a response as [`id_token`] does, for the fuzzer.
#[cfg(fuzzing)]
pub fn id_token_of(body: &[u8]) -> anyhow::Result<IdToken> {
    let jwt = jwt(body)?;
    let subject = subject(&jwt).unwrap_or_default();
    Ok(IdToken { jwt, subject })
}

/// Returns the subject of a JWT, unverified: it is only shown in an error.
fn subject(jwt: &Secret) -> Option<String> {
    let payload = jwt.expose().split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: IdTokenClaims = serde_json::from_slice(&payload).ok()?;
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
