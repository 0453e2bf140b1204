//! A client of GitHub's REST API (<https://docs.github.com/rest>) over octocrab: sends requests and classifies failures for
//! `retry`.

use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::header::{ACCEPT, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use serde_json::Value;

use super::limits;
use crate::failure_kind::FailureKind;
use crate::http_client::{ServerClient, no_response};
use crate::problem::Problem;
use crate::retry::{self, AttemptError, Retrier};
use crate::secret::Secret;

/// GitHub's REST API with one token, until a deadline.
#[derive(Debug)]
pub(super) struct GitHubApi {
    crab: Octocrab,
    deadline: Instant,
    retrier: Retrier,
}

/// An attempt for which GitHub gave no usable response.
pub(super) type FailedAttempt = AttemptError<GitHubError>;

/// The timeout of one attempt. A tree of 100,000 entries, the most that GitHub returns, has 25 MB.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
/// The timeout of the last attempt, which begins at the deadline.
const LAST_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest response, in bytes.
const MAX_RESPONSE: usize = 128 << 20;

/// GitHub redirects from a repository's former names.
const MAX_REDIRECTS: usize = 3;

pub(super) const JSON: &str = "application/vnd.github+json";

/// One request: method, path and body.
#[derive(Debug, Clone)]
pub(super) struct ApiRequest {
    pub(super) method: Method,
    /// The path below the server's base URL.
    pub(super) route: String,
    pub(super) body: Option<Value>,
    pub(super) accept: &'static str,
}

impl ApiRequest {
    pub(super) fn get(route: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            route: route.into(),
            body: None,
            accept: JSON,
        }
    }

    pub(super) fn post(route: impl Into<String>, body: Value) -> Self {
        Self {
            method: Method::POST,
            body: Some(body),
            ..Self::get(route)
        }
    }

    pub(super) fn delete(route: impl Into<String>) -> Self {
        Self {
            method: Method::DELETE,
            ..Self::get(route)
        }
    }
}

impl GitHubApi {
    /// Creates a client. `url` is GitHub's or an Enterprise server's, which has a path. Must be called within the asynchronous
    /// runtime.
    pub(super) fn new(
        url: &str,
        token: Option<&Secret>,
        deadline: Instant,
        retrier: Retrier,
    ) -> anyhow::Result<Self> {
        Self::with_limit(url, token, deadline, retrier, MAX_RESPONSE)
    }

    /// Creates a client that accepts responses of at most so many bytes.
    fn with_limit(
        url: &str,
        token: Option<&Secret>,
        deadline: Instant,
        retrier: Retrier,
        max_response: usize,
    ) -> anyhow::Result<Self> {
        let base: Uri = url
            .parse()
            .with_context(|| format!("parsing GitHub's URL {url}"))?;
        let client = ServerClient::for_url(&base)?;
        // octocrab's own client ignores the proxy and the certificates of this machine.
        let service = tower::service_fn(move |request| {
            let client = client.clone();
            async move {
                let response = client.send(request).await?;
                Ok::<_, tower::BoxError>(response.map(|body| Limited::new(body, max_response)))
            }
        });
        let agent = (USER_AGENT, HeaderValue::from_static("remote-buildkit"));
        let auth = match token {
            Some(token) => AuthState::AccessToken {
                token: token.expose().to_owned().into(),
            },
            None => AuthState::None,
        };
        let crab = OctocrabBuilder::new_empty()
            .with_service(service)
            .with_layer(&BaseUriLayer::new(base))
            .with_layer(&ExtraHeadersLayer::new(vec![agent].into()))
            .with_auth(auth)
            .build();
        let crab = crab.unwrap_or_else(|never| match never {});
        Ok(Self {
            crab,
            deadline,
            retrier,
        })
    }

    /// Sends a request, with retries. `explain` adds to a failure what was requested, and the remedy.
    pub(super) async fn send(
        &self,
        request: &ApiRequest,
        explain: impl Fn(FailedAttempt) -> AttemptError,
    ) -> anyhow::Result<Bytes> {
        let response = self
            .retrier
            .run(|| async { self.attempt(request).await.map_err(&explain) });
        response.await
    }

    /// Sends a request like [`Self::send`]. A response with the status `expected` is not retried, and is returned.
    pub(super) async fn send_expecting(
        &self,
        request: &ApiRequest,
        expected: StatusCode,
        explain: impl Fn(FailedAttempt) -> AttemptError,
    ) -> anyhow::Result<Result<Bytes, StatusError>> {
        let response = self.retrier.run(|| async {
            match self.attempt(request).await {
                Ok(body) => Ok(Ok(body)),
                Err(AttemptError {
                    error: GitHubError::Status(response),
                    ..
                }) if response.status == expected => Ok(Err(response)),
                Err(failed) => Err(explain(failed)),
            }
        });
        response.await
    }

    async fn attempt(&self, request: &ApiRequest) -> Result<Bytes, FailedAttempt> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = left.clamp(LAST_ATTEMPT_TIMEOUT, ATTEMPT_TIMEOUT);
        retry::with_timeout(timeout, FailureKind::TimedOut, self.send_once(request)).await
    }

    async fn send_once(&self, request: &ApiRequest) -> Result<Bytes, FailedAttempt> {
        let mut uri = request.route.clone();
        let mut response = None;
        for _ in 0..=MAX_REDIRECTS {
            let builder = http::request::Builder::new()
                .method(request.method.clone())
                .uri(uri.as_str())
                .header(ACCEPT, request.accept);
            let built = self.crab.build_request(builder, request.body.as_ref());
            let built = built.context("building the request")?;
            let received = self.crab.execute(built).await;
            let received = received.map_err(|error| connection_failed(&error))?;
            let is_redirect = received.status().is_redirection();
            let location = received.headers().get(LOCATION).filter(|_| is_redirect);
            let location = location.and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
            response = Some(received);
            match location.as_ref().and_then(Uri::path_and_query) {
                // Scheme and host stay: the token is for this server alone.
                Some(path) => uri = path.to_string(),
                None => break,
            }
        }
        let response = response.context("no request was sent")?;
        let status = response.status();
        let headers = response.headers().clone();
        match octocrab::map_github_error(response).await {
            Ok(response) if status.is_success() => {
                let body = response.into_body().collect().await;
                Ok(body.map_err(|error| connection_failed(&error))?.to_bytes())
            }
            Ok(_) => {
                let message = String::new();
                let error = StatusError { status, message };
                Err(AttemptError::permanent(GitHubError::Status(error)))
            }
            Err(octocrab::Error::GitHub { source, .. }) => {
                let header = |name: &str| headers.get(name)?.to_str().ok();
                let details = source.errors.as_deref().unwrap_or_default();
                let details: Vec<String> = details.iter().filter_map(detail).collect();
                let message = [&[source.message.trim().to_owned()], &details[..]]
                    .concat()
                    .join("; ");
                Err(self.status_failed(status, &message, header))
            }
            Err(error) => Err(connection_failed(&error)),
        }
    }

    /// Classifies an error response, and waits for a rate limit if it ends before the deadline.
    fn status_failed<'a>(
        &self,
        status: StatusCode,
        message: &str,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> FailedAttempt {
        let response = StatusError {
            status,
            message: message.trim_end_matches('.').to_owned(),
        };
        let Some(wait) = limits::wait(status.as_u16(), message, header) else {
            return AttemptError {
                kind: FailureKind::from_status(status.as_u16()),
                retry_after: None,
                error: GitHubError::Status(response),
            };
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if wait > left {
            return AttemptError::permanent(GitHubError::RateLimitExhausted { wait, response });
        }
        AttemptError {
            kind: FailureKind::RateLimited,
            retry_after: Some(wait),
            error: GitHubError::Status(response),
        }
    }
}

/// Returns one of the details beside GitHub's message: a text, or an object with a message.
fn detail(error: &Value) -> Option<String> {
    let text = error.as_str().or_else(|| error["message"].as_str());
    text.map(str::to_owned)
}

/// Why GitHub gave no usable response.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitHubError {
    #[error(transparent)]
    Status(StatusError),
    /// A rate limit that lasts beyond the deadline.
    #[error("GitHub's rate limit is exhausted for another {} s: {response}", wait.as_secs())]
    RateLimitExhausted { wait: Duration, response: StatusError },
    #[error("a response of more than {} MiB", MAX_RESPONSE >> 20)]
    TooLong,
    /// The proxy failed, not GitHub.
    #[error("{}", .0.what)]
    Proxy(Problem),
    /// No response, or the request could not be sent.
    #[error("{0:#}")]
    NoResponse(anyhow::Error),
}

impl From<anyhow::Error> for GitHubError {
    fn from(error: anyhow::Error) -> Self {
        Self::NoResponse(error)
    }
}

impl GitHubError {
    /// Returns the HTTP status; `None` if there was no response.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status(response) | Self::RateLimitExhausted { response, .. } => Some(response.status),
            Self::TooLong | Self::Proxy(_) | Self::NoResponse(_) => None,
        }
    }
}

/// A response with an error status.
#[derive(Debug)]
pub(super) struct StatusError {
    status: StatusCode,
    /// GitHub's message; empty if the response has none.
    message: String,
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, message } = self;
        if message.is_empty() {
            return write!(f, "{status}");
        }
        write!(f, "{status}: {message}")
    }
}

impl Error for StatusError {}

/// Returns whether a request failed because of GitHub's rate limit.
pub(super) fn is_rate_limited(failed: &FailedAttempt) -> bool {
    let is_exhausted = matches!(failed.error, GitHubError::RateLimitExhausted { .. });
    is_exhausted || failed.kind == FailureKind::RateLimited
}

fn connection_failed(error: &octocrab::Error) -> FailedAttempt {
    let mut causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source());
    if causes.any(|cause| cause.is::<LengthLimitError>()) {
        return AttemptError::permanent(GitHubError::TooLong);
    }
    // octocrab's own text does not contain the cause.
    let failed = match error {
        octocrab::Error::Service { source, .. } => no_response(&**source),
        other => no_response(other),
    };
    failed.map(|error| match error.downcast() {
        Ok(problem) => GitHubError::Proxy(problem),
        Err(error) => GitHubError::NoResponse(error),
    })
}

#[cfg(test)]
mod tests {
    use lab::{HttpResponse, HttpServer};

    use super::*;

    #[tokio::test]
    async fn a_response_beyond_the_limit_is_not_requested_again() {
        // As main does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = HttpServer::start(|_| HttpResponse::new(200, "x".repeat(100))).expect("a server");
        let url = server.url;
        let api = |limit| {
            let deadline = Instant::now() + Duration::from_secs(60);
            let retrier = Retrier::new(deadline, |line| panic!("{line}"));
            GitHubApi::with_limit(&url, None, deadline, retrier, limit).expect("a client")
        };
        let explain = |failed: FailedAttempt| failed.map(Into::into);
        let response = api(100).send(&ApiRequest::get("/"), explain).await;
        assert_eq!(response.expect("a response").len(), 100);
        let response = api(99).send(&ApiRequest::get("/"), explain).await;
        let error = response.expect_err("too long").downcast::<GitHubError>();
        assert!(matches!(error, Ok(GitHubError::TooLong)), "{error:?}");
    }
}
