//! What GitHub's REST API says of a repository's commits and trees (<https://docs.github.com/rest>).

mod limits;
mod trees;

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::header::{ACCEPT, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Uri};
use http_body_util::{BodyExt, Limited};
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};

use crate::problem::Problem;
use crate::report::Report;
use crate::retry::{self, Cause, Failed, Tries};
use crate::secret::Secret;
use crate::web::{Client, no_answer};

pub use trees::Listing;
#[cfg(fuzzing)]
pub use trees::listing_of;

/// GitHub, for one repository and until a deadline.
#[derive(Debug)]
pub struct Api {
    crab: Octocrab,
    /// `owner/name`.
    repository: String,
    deadline: Instant,
    tries: Tries,
    anonymous: bool,
}

/// For the whole of an answer. A tree of 100,000 entries, the most that there are in one, has 25 MB.
const ATTEMPT: Duration = Duration::from_secs(60);
/// For one that begins at the deadline, as the last one does.
const LAST: Duration = Duration::from_secs(5);

/// In bytes.
const LONGEST: usize = 128 << 20;

/// A repository that has been renamed, perhaps more than once.
const REDIRECTS: usize = 3;

const JSON: &str = "application/vnd.github+json";
/// The id of a commit and nothing else.
const SHA: &str = "application/vnd.github.sha";

impl Api {
    /// `url` is GitHub's or that of an Enterprise server, which has a path. Without a token GitHub answers for public
    /// repositories, a few times an hour. Wants to be called within the asynchronous runtime.
    pub fn new(
        url: &str,
        repository: &str,
        token: Option<&Secret>,
        deadline: Instant,
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
            repository: repository.to_owned(),
            deadline,
            tries: Tries::until(deadline, Report::detail),
            anonymous: token.is_none(),
        })
    }

    /// Asks for `/repos/OWNER/NAME/…` until there is an answer. `what` is what it is for.
    async fn get(&self, what: &str, route: &str, accept: &'static str) -> anyhow::Result<Bytes> {
        let route = format!("/repos/{}/{route}", self.repository);
        let asked = self.tries.run(|| async {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let answer =
                retry::within(left.clamp(LAST, ATTEMPT), Cause::Silent, self.ask(&route, accept)).await;
            answer.map_err(|failed| self.explained(failed, what, &route))
        });
        asked.await
    }

    async fn ask(&self, route: &str, accept: &'static str) -> Result<Bytes, Failed> {
        let mut uri = route.to_owned();
        let mut response = None;
        for _ in 0..=REDIRECTS {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let answer = self.crab._get_with_headers(uri.as_str(), Some(headers)).await;
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
            Ok(_) => Err(Failed::from(anyhow::anyhow!("{status}"))),
            Err(octocrab::Error::GitHub { source, .. }) => {
                let header = |name: &str| headers.get(name)?.to_str().ok();
                Err(self.refused(status, &source.message, header))
            }
            Err(error) => Err(unanswered(&error)),
        }
    }

    fn refused<'a>(
        &self,
        status: http::StatusCode,
        message: &str,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Failed {
        let error = anyhow::anyhow!("{status}: {}", message.trim().trim_end_matches('.'));
        let Some(wait) = limits::wait(status.as_u16(), message, header) else {
            return Failed::new(Cause::of_status(status.as_u16()), error);
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if wait > left {
            let error = error.context(Limit { wait });
            return Failed::new(Cause::Final, error);
        }
        Failed {
            cause: Cause::Limited,
            after: Some(wait),
            error,
        }
    }
}

/// A limit of GitHub's that lasts for longer than anybody waits.
#[derive(Debug, thiserror::Error)]
#[error("GitHub's rate limit is used up for another {} s", wait.as_secs())]
struct Limit {
    wait: Duration,
}

fn unanswered(error: &octocrab::Error) -> Failed {
    // Its own text says only that there was an error of a service.
    let failed = match error {
        octocrab::Error::Service { source, .. } => no_answer(&**source),
        other => no_answer(other),
    };
    let too_long = failed.error.to_string().contains("length limit exceeded");
    if too_long {
        let error = anyhow::anyhow!("an answer of more than {} MiB", LONGEST >> 20);
        return Failed::new(Cause::Final, error);
    }
    failed
}

impl Api {
    fn explained(&self, failed: Failed, what: &str, route: &str) -> Failed {
        let Failed { cause, after, error } = failed;
        let text = format!("{error:#}");
        let limited = cause == Cause::Limited || error.is::<Limit>();
        let remedy = remedy(&text, limited, self.anonymous);
        let problem = Problem::new(
            "Changes not read from GitHub",
            format!("Asked GitHub for {what} (GET {route}) and got: {text}."),
            remedy,
        );
        Failed {
            cause,
            after,
            error: problem.into(),
        }
    }
}

/// `text` begins with the status, if there was an answer.
fn remedy(text: &str, limited: bool, anonymous: bool) -> &'static str {
    match text.get(..3) {
        _ if limited && anonymous => {
            "Pass a token, `github-token: ${{ github.token }}`: without one GitHub answers 60 times an hour for all that \
             share this runner's address."
        }
        _ if limited => {
            "Run the job again later. With `fetch-depth: 0` actions/checkout brings the commits, and GitHub is not asked."
        }
        Some("401") => "The token is not valid: pass `github-token: ${{ github.token }}`.",
        Some("403" | "404") if anonymous => {
            "Without a token GitHub answers for public repositories alone: pass `github-token: ${{ github.token }}`."
        }
        Some("403" | "404") => {
            "The token may not read the contents of this repository, or GitHub does not know the commit. Add to the job: \
             `permissions: { contents: read }`."
        }
        Some("422") => "GitHub knows no such commit, branch or tag: check the input `base`.",
        _ => "Run the job again; if it stays, see githubstatus.com and what this runner may reach.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_remedy() {
        for (text, limited, anonymous, word) in [
            ("401 Unauthorized: Bad credentials", false, false, "is not valid"),
            (
                "403 Forbidden: Resource not accessible",
                false,
                false,
                "contents: read",
            ),
            ("404 Not Found", false, false, "contents: read"),
            ("404 Not Found", false, true, "Without a token"),
            (
                "403 Forbidden: API rate limit exceeded",
                true,
                true,
                "60 times an hour",
            ),
            (
                "403 Forbidden: API rate limit exceeded",
                true,
                false,
                "fetch-depth: 0",
            ),
            (
                "422 Unprocessable Entity: No commit found",
                false,
                false,
                "the input `base`",
            ),
            ("500 Internal Server Error", false, false, "githubstatus.com"),
            ("é", false, false, "githubstatus.com"),
        ] {
            let remedy = remedy(text, limited, anonymous);
            assert!(remedy.contains(word), "{text}: {remedy}");
        }
    }
}
