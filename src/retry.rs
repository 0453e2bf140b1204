//! What is worth another try, for how long, and when the next one comes. Everything that asks AWS, a cluster or GitHub
//! asks through `Tries::run`, but for the default chain of credentials, whose tries are the SDK's own.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::error_code::ErrorCode;
use crate::problem::{self, Problem};

/// Why a request did not succeed, as far as the next one is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too many requests, of us or of others.
    Throttled,
    /// The same, by a service that asks for a wait of a minute or more.
    Limited,
    /// The service fails (5xx), or something behind it.
    Busy,
    /// A connection that is refused, reset or cut off.
    NoAnswer,
    /// Silence.
    Silent,
    /// No such host name, or nobody who knows.
    Unresolved,
    /// Another request changed the same object.
    Conflict,
    /// What is asked for is on its way: a pod that was replaced, a kubelet whose certificate is pending.
    NotYet,
    /// No permission; said as well by an API server that has just come back, until it has read the roles.
    Denied,
    /// Signed by a clock that was off, and has been corrected.
    ClockCorrected,
    /// The answer would be the same.
    Final,
}

impl Cause {
    /// How long it is tried again: the one place that says what heals. Longer than what a restart of an API server, a
    /// throttled minute, or a certificate takes (docker/buildx#2668); shorter where it is likelier an address that is
    /// wrong, or that this machine does not reach.
    fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Limited => 120,
            Self::Throttled | Self::Busy | Self::NoAnswer | Self::Conflict | Self::NotYet => 60,
            // Once: the next failure has another cause.
            Self::Silent | Self::ClockCorrected => 20,
            Self::Unresolved => 10,
            Self::Denied | Self::Final => 0,
        })
    }

    /// Nobody was there to answer.
    pub fn is_away(self) -> bool {
        matches!(self, Self::Busy | Self::NoAnswer | Self::Silent)
    }

    /// Denied by a server that was away a moment ago.
    pub fn passes(self, away: Option<Instant>) -> bool {
        self == Self::Denied && away.is_some_and(|away| away.elapsed() < RETURNING)
    }

    /// Of a status of HTTP.
    pub fn of_status(code: u16) -> Self {
        match code {
            429 => Self::Throttled,
            409 => Self::Conflict,
            408 | 500.. => Self::Busy,
            _ => Self::Final,
        }
    }

    /// Of what clients say when there was no answer: their errors have no codes in common. A certificate that is not
    /// trusted stays so.
    pub fn of_no_answer(text: &str) -> Self {
        let text = text.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&[
            "invalid peer certificate",
            "certificate verify failed",
            "unknownissuer",
        ]) {
            Self::Final
        } else if says(&["failed to lookup address", "dns error", "name resolution"]) {
            Self::Unresolved
        } else if says(&["timed out", "timeout", "deadline has elapsed"]) {
            Self::Silent
        } else {
            Self::NoAnswer
        }
    }
}

/// A request that did not succeed.
#[derive(Debug)]
pub struct Failed {
    pub cause: Cause,
    /// The server asks not to come before.
    pub after: Option<Duration>,
    pub error: anyhow::Error,
}

impl Failed {
    pub fn new(cause: Cause, error: impl Into<anyhow::Error>) -> Self {
        Self {
            cause,
            after: None,
            error: error.into(),
        }
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Cause::Final, error)
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::new(Cause::Final, problem)
    }
}

/// Tries until a deadline. Clones have the deadline, and the last trouble, in common.
#[derive(Debug, Clone)]
pub struct Tries {
    deadline: Instant,
    said: fn(&str),
    trouble: Arc<Mutex<Option<Problem>>>,
}

impl Tries {
    /// `said` gets a line for each failure that is not the last.
    pub fn until(deadline: Instant, said: fn(&str)) -> Self {
        Self {
            deadline,
            said,
            trouble: Arc::default(),
        }
    }

    /// The failure that the request under way had last.
    pub fn trouble(&self) -> Option<Problem> {
        self.trouble.lock().ok()?.clone()
    }

    fn note(&self, trouble: Option<Problem>) {
        // The lock is lost only by a panic elsewhere, and that is what will be reported.
        if let Ok(mut last) = self.trouble.lock() {
            *last = trouble;
        }
    }

    /// Asks until there is an answer, or a failure that does not heal, or has not.
    pub async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let began = Instant::now();
        // Of the request that this one is a part of.
        let before = self.trouble();
        let mut pauses = pauses();
        let mut attempts: u32 = 0;
        let mut away: Option<Instant> = None;
        loop {
            attempts += 1;
            let failed = match attempt().await {
                Ok(answer) => {
                    self.note(before);
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            let pause = pauses
                .next()
                .unwrap_or(LONGEST)
                .max(failed.after.unwrap_or_default());
            let left = self.deadline.saturating_duration_since(Instant::now());
            if failed.cause.is_away() {
                away = Some(Instant::now());
            }
            let patient = began.elapsed() + pause <= failed.cause.patience() || failed.cause.passes(away);
            if left.is_zero() || !patient {
                return Err(counted(failed.error, attempts, began.elapsed()));
            }
            // The last one is at the deadline.
            let pause = pause.min(left);
            let trouble = trouble(&failed.error);
            (self.said)(&format!(
                "{} Trying again in {:.1} s.",
                trouble.what,
                pause.as_secs_f64()
            ));
            self.note(Some(trouble));
            tokio::time::sleep(pause).await;
        }
    }
}

/// Until an API server that answers again has read the roles; tried, it takes less than a second.
const RETURNING: Duration = Duration::from_secs(10);

const LONGEST: Duration = Duration::from_secs(8);

/// 0.1 s, 0.2 s, 0.4 s and so on, each with up to as much again by chance, so that jobs which began together do not
/// come again together.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST)
        .without_max_times()
        .with_jitter()
        .build()
}

fn trouble(error: &anyhow::Error) -> Problem {
    let unnamed = || Problem {
        code: ErrorCode::Unexpected,
        what: format!("{error:#}."),
        remedy: String::new(),
    };
    error.downcast_ref().cloned().unwrap_or_else(unnamed)
}

/// A failure that had its chance says so.
fn counted(error: anyhow::Error, attempts: u32, took: Duration) -> anyhow::Error {
    if attempts == 1 {
        return error;
    }
    problem::also(
        error,
        format!("Tried {attempts} times in {:.0} s.", took.as_secs_f64()),
    )
}

/// One attempt that may take so long, and has this cause if it takes longer.
pub async fn within<T>(
    limit: Duration,
    cause: Cause,
    attempt: impl Future<Output = Result<T, Failed>>,
) -> Result<T, Failed> {
    let late = || Failed::new(cause, anyhow::anyhow!("no answer within {} s", limit.as_secs()));
    let done = tokio::time::timeout(limit, attempt).await;
    done.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn run<T>(tries: &Tries, attempt: impl FnMut() -> Result<T, Failed>) -> anyhow::Result<T> {
        let mut attempt = attempt;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        runtime.block_on(tries.run(|| std::future::ready(attempt())))
    }

    fn tries(within: Duration) -> Tries {
        Tries::until(Instant::now() + within, |_| ())
    }

    #[test]
    fn what_heals_is_asked_again() {
        let asked = Cell::new(0);
        let tries = tries(Duration::from_secs(60));
        let answer = run(&tries, || {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Err(Failed::new(Cause::Throttled, anyhow::anyhow!("slow down"))),
                2 => Err(Failed::new(Cause::Busy, anyhow::anyhow!("503"))),
                number => Ok(number),
            }
        });
        assert_eq!(answer.expect("healed"), 3);
        assert!(tries.trouble().is_none());
    }

    #[test]
    fn what_does_not_heal_is_asked_once() {
        let asked = Cell::new(0);
        let error = run::<()>(&tries(Duration::from_secs(60)), || {
            asked.set(asked.get() + 1);
            Err(Problem::new(ErrorCode::Forbidden, "Asked and was denied.", "").into())
        });
        assert_eq!(
            error.expect_err("denied").to_string(),
            "Cluster denied permission (403): Asked and was denied."
        );
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn the_deadline_ends_it_with_the_last_failure() {
        let tries = tries(Duration::from_millis(450));
        let problem = || Problem::new(ErrorCode::ClusterUnreachable, "Asked and got nothing.", "Look.");
        let error = run::<()>(&tries, || Err(Failed::new(Cause::NoAnswer, problem())));
        let error: Problem = error.expect_err("late").downcast().expect("a problem");
        assert!(
            error.what.starts_with("Asked and got nothing. Tried "),
            "{}",
            error.what
        );
        assert_eq!(error.remedy, "Look.");
        assert_eq!(
            tries.trouble().map(|t| t.what).as_deref(),
            Some("Asked and got nothing.")
        );
    }

    #[test]
    fn a_server_that_comes_back_may_deny_at_first() {
        let asked = Cell::new(0);
        let tries = tries(Duration::from_secs(60));
        let answer = run(&tries, || {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => Err(Failed::new(Cause::NoAnswer, anyhow::anyhow!("refused"))),
                2 => Err(Failed::new(Cause::Denied, anyhow::anyhow!("403"))),
                number => Ok(number),
            }
        });
        assert_eq!(answer.expect("it has read the roles"), 3);
        let denied = || Err::<(), _>(Failed::new(Cause::Denied, anyhow::anyhow!("403")));
        assert_eq!(run(&tries, denied).expect_err("denied").to_string(), "403");
    }

    #[test]
    fn the_trouble_of_a_request_outlives_the_success_of_its_parts() {
        let tries = tries(Duration::from_secs(60));
        let part = tries.clone();
        let asked = Cell::new(0);
        let answer = run(&tries, || {
            asked.set(asked.get() + 1);
            let there = futures::executor::block_on(part.run(|| std::future::ready(Ok(()))));
            there.expect("a part that succeeds");
            match asked.get() {
                1 => Err(Failed::new(Cause::Busy, anyhow::anyhow!("503"))),
                _ => Ok(part.trouble()),
            }
        });
        let trouble = answer.expect("healed").expect("the failure before");
        assert_eq!(trouble.what, "503.");
        assert!(tries.trouble().is_none());
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let pauses: Vec<Duration> = pauses().take(20).collect();
        assert!(pauses[0] >= Duration::from_millis(100) && pauses[0] <= Duration::from_millis(200));
        assert!(pauses[3] >= Duration::from_millis(800));
        assert!(pauses.iter().all(|pause| *pause <= 2 * LONGEST));
        assert_eq!(pauses.len(), 20);
    }

    #[test]
    fn causes_of_statuses_and_of_silence() {
        for (code, cause) in [
            (429, Cause::Throttled),
            (409, Cause::Conflict),
            (500, Cause::Busy),
            (503, Cause::Busy),
            (401, Cause::Final),
            (403, Cause::Final),
            (404, Cause::Final),
            (422, Cause::Final),
        ] {
            assert_eq!(Cause::of_status(code), cause, "{code}");
        }
        for (text, cause) in [
            (
                "tcp connect error: Connection refused (os error 111)",
                Cause::NoAnswer,
            ),
            ("connection error: Connection reset by peer", Cause::NoAnswer),
            (
                "peer closed connection without sending TLS close_notify",
                Cause::NoAnswer,
            ),
            ("received fatal alert: InternalError", Cause::NoAnswer),
            (
                "dns error: failed to lookup address information: Try again",
                Cause::Unresolved,
            ),
            ("HTTP connect timeout occurred after 5s", Cause::Silent),
            ("deadline has elapsed", Cause::Silent),
            ("invalid peer certificate: UnknownIssuer", Cause::Final),
        ] {
            assert_eq!(Cause::of_no_answer(text), cause, "{text}");
        }
    }
}
