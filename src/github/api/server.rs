//! A server of GitHub's REST API (<https://docs.github.com/rest>): one request, and whether another one is worth a try.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::header::{ACCEPT, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use serde_json::Value;

use super::limits;
use crate::retry::{self, AttemptError, FailureKind, Retrier};
use crate::secret::Secret;
use crate::web::{Client, no_answer};

/// GitHub until a deadline, as whoever a token is of.
#[derive(Debug)]
pub(super) struct Server {
    crab: Octocrab,
    deadline: Instant,
    retrier: Retrier,
}

/// For the whole of an answer. A tree of 100,000 entries, the most that there are in one, has 25 MB.
const ATTEMPT: Duration = Duration::from_secs(60);
/// For one that begins at the deadline, as the last one does.
const LAST: Duration = Duration::from_secs(5);

/// In bytes.
const LONGEST: usize = 128 << 20;

/// A repository that has been renamed, perhaps more than once.
const REDIRECTS: usize = 3;

pub(super) const JSON: &str = "application/vnd.github+json";

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) method: Method,
    /// Below the server's own path.
    pub(super) route: String,
    pub(super) body: Option<Value>,
    pub(super) accept: &'static str,
}

impl Question {
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

impl Server {
    /// `url` is GitHub's or that of an Enterprise server, which has a path. Wants to be called within the asynchronous
    /// runtime.
    pub(super) fn new(
        url: &str,
        token: Option<&Secret>,
        deadline: Instant,
        retrier: Retrier,
    ) -> anyhow::Result<Self> {
        let base: Uri = url.parse().with_context(|| format!("GitHub's address {url}"))?;
        let client = Client::of(&base)?;
        // Ours and not octocrab's own, which knows nothing of the proxy and the certificates of this machine.
        let service = tower::service_fn(move |request| {
            let client = client.clone();
            async move {
                let answer = client.send(request).await?;
                Ok::<_, hyper_util::client::legacy::Error>(answer.map(|body| Limited::new(body, LONGEST)))
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

    /// Asks until there is an answer. `explained` says what a failure was of.
    pub(super) async fn ask(
        &self,
        question: &Question,
        explained: impl Fn(AttemptError) -> AttemptError,
    ) -> anyhow::Result<Bytes> {
        let asked = self.retrier.run(|| async {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let once = retry::with_timeout(
                left.clamp(LAST, ATTEMPT),
                FailureKind::TimedOut,
                self.once(question),
            );
            once.await.map_err(&explained)
        });
        asked.await
    }

    async fn once(&self, question: &Question) -> Result<Bytes, AttemptError> {
        let mut uri = question.route.clone();
        let mut response = None;
        for _ in 0..=REDIRECTS {
            let request = http::request::Builder::new()
                .method(question.method.clone())
                .uri(uri.as_str())
                .header(ACCEPT, question.accept);
            let request = self.crab.build_request(request, question.body.as_ref());
            let request = request.context("making a request")?;
            let answer = self.crab.execute(request).await;
            let answer = answer.map_err(|error| unanswered(&error))?;
            let moved = answer.status().is_redirection();
            let location = answer.headers().get(LOCATION).filter(|_| moved);
            let location = location.and_then(|value| value.to_str().ok()?.parse::<Uri>().ok());
            response = Some(answer);
            match location.as_ref().and_then(Uri::path_and_query) {
                // The rest of it stays: the token is for this server alone.
                Some(path) => uri = path.to_string(),
                None => break,
            }
        }
        let response = response.context("nothing was asked")?;
        let status = response.status();
        let headers = response.headers().clone();
        match octocrab::map_github_error(response).await {
            Ok(answer) if status.is_success() => {
                let body = answer.into_body().collect().await;
                Ok(body.map_err(|error| unanswered(&error))?.to_bytes())
            }
            Ok(_) => Err(AttemptError::from(anyhow::anyhow!("{status}"))),
            Err(octocrab::Error::GitHub { source, .. }) => {
                let header = |name: &str| headers.get(name)?.to_str().ok();
                let details = source.errors.as_deref().unwrap_or_default();
                let details: Vec<String> = details.iter().filter_map(detail).collect();
                let message = [&[source.message.trim().to_owned()], &details[..]]
                    .concat()
                    .join("; ");
                Err(self.refused(status, &message, header))
            }
            Err(error) => Err(unanswered(&error)),
        }
    }

    fn refused<'a>(
        &self,
        status: StatusCode,
        message: &str,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> AttemptError {
        let error = anyhow::anyhow!("{status}: {}", message.trim_end_matches('.'));
        let Some(wait) = limits::wait(status.as_u16(), message, header) else {
            return AttemptError::new(FailureKind::from_status(status.as_u16()), error);
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if wait > left {
            let error = error.context(Limit { wait });
            return AttemptError::new(FailureKind::Permanent, error);
        }
        AttemptError {
            kind: FailureKind::RateLimited,
            retry_after: Some(wait),
            error,
        }
    }
}

/// What GitHub says beside its message: a text, or an object with one.
fn detail(error: &Value) -> Option<String> {
    let text = error.as_str().or_else(|| error["message"].as_str());
    text.map(str::to_owned)
}

/// A limit of GitHub's that lasts for longer than anybody waits.
#[derive(Debug, thiserror::Error)]
#[error("GitHub's rate limit is used up for another {} s", wait.as_secs())]
struct Limit {
    wait: Duration,
}

/// Whether it is a limit of GitHub's that ended a request.
pub(super) fn is_limited(failed: &AttemptError) -> bool {
    failed.kind == FailureKind::RateLimited || failed.error.is::<Limit>()
}

fn unanswered(error: &octocrab::Error) -> AttemptError {
    // Its own text says only that there was an error of a service.
    let failed = match error {
        octocrab::Error::Service { source, .. } => no_answer(&**source),
        other => no_answer(other),
    };
    let too_long = failed.error.to_string().contains("length limit exceeded");
    if too_long {
        let error = anyhow::anyhow!("an answer of more than {} MiB", LONGEST >> 20);
        return AttemptError::new(FailureKind::Permanent, error);
    }
    failed
}
