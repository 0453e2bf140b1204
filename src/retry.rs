//! Retries of requests, with growing delays. `failure_kind` decides which failures are retried, and for how long. Every
//! request to AWS, a cluster or GitHub goes through `Retrier::run`. The AWS default credential chain is the exception: the
//! SDK retries it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::problem::{self, Problem};

/// An attempt that failed, and whether a retry can help.
#[derive(Debug)]
pub struct AttemptError<E = anyhow::Error> {
    pub kind: FailureKind,
    /// The minimum delay that the server asks for.
    pub retry_after: Option<Duration>,
    pub error: E,
}

impl AttemptError {
    pub fn new(kind: FailureKind, error: impl Into<anyhow::Error>) -> Self {
        Self {
            kind,
            retry_after: None,
            error: error.into(),
        }
    }
}

impl<E: From<anyhow::Error>> From<anyhow::Error> for AttemptError<E> {
    fn from(error: anyhow::Error) -> Self {
        Self::permanent(error.into())
    }
}

impl<E: From<Problem>> From<Problem> for AttemptError<E> {
    fn from(problem: Problem) -> Self {
        Self::permanent(problem.into())
    }
}

impl<E> AttemptError<E> {
    /// Returns a failure that a retry would repeat.
    pub fn permanent(error: E) -> Self {
        Self {
            kind: FailureKind::Permanent,
            retry_after: None,
            error,
        }
    }

    /// Replaces the error.
    pub fn map<F>(self, replace: impl FnOnce(E) -> F) -> AttemptError<F> {
        AttemptError {
            kind: self.kind,
            retry_after: self.retry_after,
            error: replace(self.error),
        }
    }
}

/// The error of a request that `Retrier` can log, and extend with the number of attempts.
pub trait RequestError: From<anyhow::Error> {
    /// Returns the error as it is logged before a retry.
    fn to_problem(&self) -> Problem;

    /// Adds a sentence to the error.
    fn annotate(self, text: String) -> Self;
}

impl RequestError for anyhow::Error {
    fn to_problem(&self) -> Problem {
        let unexpected = || Problem {
            code: ErrorCode::Unexpected,
            what: format!("{self:#}."),
            remedy: String::new(),
        };
        self.downcast_ref().cloned().unwrap_or_else(unexpected)
    }

    fn annotate(self, text: String) -> Self {
        problem::annotate(self, text)
    }
}

/// Retries requests until a deadline. Clones share the deadline and the last error.
#[derive(Debug, Clone)]
pub struct Retrier {
    deadline: Instant,
    on_retry: fn(&str),
    last_error: Arc<Mutex<Option<Problem>>>,
}

impl Retrier {
    /// `on_retry` gets a line for each failure that is followed by a retry.
    pub fn new(deadline: Instant, on_retry: fn(&str)) -> Self {
        Self {
            deadline,
            on_retry,
            last_error: Arc::default(),
        }
    }

    /// Returns the time until the deadline.
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Returns the last error of the request in progress.
    pub fn last_error(&self) -> Option<Problem> {
        self.last_error.lock().ok()?.clone()
    }

    /// Forgets the last error, before a request that has nothing to do with it.
    pub fn forget_last_error(&self) {
        self.set_last_error(None);
    }

    fn set_last_error(&self, error: Option<Problem>) {
        // Another thread's panic poisons the lock, and that panic is reported.
        if let Ok(mut last) = self.last_error.lock() {
            *last = error;
        }
    }

    /// Retries `attempt` until it succeeds, fails permanently, or has failed for longer than its kind of failure is
    /// retried.
    pub async fn run<T, E, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, E>
    where
        E: RequestError,
        F: Future<Output = Result<T, AttemptError<E>>>,
    {
        let began = Instant::now();
        // The error of the enclosing request, when this one is a part of it.
        let enclosing_error = self.last_error();
        let mut delays = delays();
        let mut attempts: u32 = 0;
        let mut last_unavailable: Option<Instant> = None;
        loop {
            attempts += 1;
            let failed = match attempt().await {
                Ok(response) => {
                    self.set_last_error(enclosing_error);
                    return Ok(response);
                }
                Err(failed) => failed,
            };
            let delay = delays
                .next()
                .unwrap_or(MAX_DELAY)
                .max(failed.retry_after.unwrap_or_default());
            let left = self.time_left();
            if failed.kind.is_unavailable() {
                last_unavailable = Some(Instant::now());
            }
            let retryable = began.elapsed() + delay <= failed.kind.max_elapsed()
                || failed.kind.is_startup_denial(last_unavailable);
            if left.is_zero() || !retryable {
                return Err(with_attempts(failed.error, attempts, began.elapsed()));
            }
            // The last attempt is at the deadline.
            let delay = delay.min(left);
            let problem = failed.error.to_problem();
            (self.on_retry)(&format!(
                "{} Retrying in {:.1} s.",
                problem.what,
                delay.as_secs_f64()
            ));
            self.set_last_error(Some(problem));
            tokio::time::sleep(delay).await;
        }
    }
}

const MAX_DELAY: Duration = Duration::from_secs(8);

/// Returns the delays between attempts: 0.1 s, 0.2 s, 0.4 s and so on. Jitter of up to 100 % keeps jobs that started
/// together from retrying together.
fn delays() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(MAX_DELAY)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Adds the number of attempts and the elapsed time to the error of a request that was retried.
fn with_attempts<E: RequestError>(error: E, attempts: u32, elapsed: Duration) -> E {
    if attempts == 1 {
        return error;
    }
    error.annotate(format!(
        "Gave up after {attempts} attempts in {:.0} s.",
        elapsed.as_secs_f64()
    ))
}

/// Runs one attempt with a timeout. An attempt that takes longer fails with `kind`.
pub async fn with_timeout<T, E: From<anyhow::Error>>(
    timeout: Duration,
    kind: FailureKind,
    attempt: impl Future<Output = Result<T, AttemptError<E>>>,
) -> Result<T, AttemptError<E>> {
    let timed_out = || AttemptError {
        kind,
        ..AttemptError::from(anyhow::anyhow!("no response within {} s", timeout.as_secs()))
    };
    let done = tokio::time::timeout(timeout, attempt).await;
    done.unwrap_or_else(|_| Err(timed_out()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn run<T>(retrier: &Retrier, attempt: impl FnMut() -> Result<T, AttemptError>) -> anyhow::Result<T> {
        let mut attempt = attempt;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        runtime.block_on(retrier.run(|| std::future::ready(attempt())))
    }

    fn retrier_for(timeout: Duration) -> Retrier {
        Retrier::new(Instant::now() + timeout, |_| ())
    }

    fn failed(kind: FailureKind) -> AttemptError {
        AttemptError::new(kind, anyhow::anyhow!("{kind:?}"))
    }

    #[test]
    fn retries_depend_on_the_kind_of_failure() {
        use FailureKind::{ConnectionFailed, Denied, Permanent, Throttled, Unavailable};
        let retrier = retrier_for(Duration::from_secs(60));
        for (failures, expected) in [
            (&[Throttled, Unavailable][..], Ok(3)),
            // An API server that was just restarted has not loaded its roles.
            (&[ConnectionFailed, Denied], Ok(3)),
            (&[Denied], Err("Denied")),
            (&[Permanent], Err("Permanent")),
        ] {
            let attempts = Cell::new(0);
            let result = run(&retrier, || {
                let number = attempts.get();
                attempts.set(number + 1);
                match failures.get(number) {
                    Some(kind) => Err(failed(*kind)),
                    None => Ok(attempts.get()),
                }
            });
            let result = result.map_err(|error| error.to_string());
            assert_eq!(result, expected.map_err(str::to_owned), "{failures:?}");
            assert_eq!(attempts.get(), expected.unwrap_or(1), "{failures:?}");
            assert!(retrier.last_error().is_none(), "{failures:?}");
        }
    }

    #[test]
    fn a_problem_is_permanent_and_stays_as_it_is() {
        let error = run::<()>(&retrier_for(Duration::from_secs(60)), || {
            Err(Problem::new(ErrorCode::Forbidden, "Asked and was denied.", "").into())
        });
        assert_eq!(
            error.expect_err("denied").to_string(),
            "Cluster denied permission (403): Asked and was denied."
        );
    }

    #[test]
    fn the_deadline_ends_retries_with_the_last_error() {
        let retrier = retrier_for(Duration::from_millis(450));
        let problem = || Problem::new(ErrorCode::ClusterUnreachable, "Asked and got nothing.", "Look.");
        let error = run::<()>(&retrier, || {
            Err(AttemptError::new(FailureKind::ConnectionFailed, problem()))
        });
        let error: Problem = error.expect_err("deadline").downcast().expect("a problem");
        assert!(
            error.what.starts_with("Asked and got nothing. Gave up after "),
            "{}",
            error.what
        );
        assert_eq!(error.remedy, "Look.");
        assert_eq!(
            retrier.last_error().map(|t| t.what).as_deref(),
            Some("Asked and got nothing.")
        );
    }

    #[test]
    fn a_nested_success_keeps_the_last_error_of_the_enclosing_request() {
        let retrier = retrier_for(Duration::from_secs(60));
        let part = retrier.clone();
        let attempts = Cell::new(0);
        let result = run(&retrier, || {
            attempts.set(attempts.get() + 1);
            let done: anyhow::Result<()> =
                futures::executor::block_on(part.run(|| std::future::ready(Ok(()))));
            done.expect("nested success");
            match attempts.get() {
                1 => Err(failed(FailureKind::Unavailable)),
                _ => Ok(part.last_error()),
            }
        });
        let last_error = result.expect("success").expect("the failure before");
        assert_eq!(last_error.what, "Unavailable.");
        assert!(retrier.last_error().is_none());
    }

    #[test]
    fn delays_grow_and_are_bounded() {
        let delays: Vec<Duration> = delays().take(20).collect();
        assert!(delays[0] >= Duration::from_millis(100) && delays[0] <= Duration::from_millis(200));
        assert!(delays[3] >= Duration::from_millis(800));
        assert!(delays.iter().all(|delay| *delay <= 2 * MAX_DELAY));
        assert_eq!(delays.len(), 20);
    }
}
