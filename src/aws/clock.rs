//! What time it is to AWS. A signature counts for minutes, by the server's clock; a runner's may be further off.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::retry::{AttemptError, FailureKind};

/// Less than this is none: servers tell whole seconds, and an answer takes time.
const NONE: SignedDuration = SignedDuration::from_secs(30);

/// With a clock that is further off no certificate would be good: whoever tells that does not know.
const NONSENSE: SignedDuration = SignedDuration::from_hours(24 * 366);

/// AWS's clock. Clones are one and the same.
///
/// It holds the time at which this machine was started, by AWS's clock, while the machine's own is off. What passed since
/// then is the same for every process here, and stays right when somebody puts the machine's clock right.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Option<Timestamp>>>);

impl Clock {
    fn started(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        self.started()
            .map_or_else(Timestamp::now, |started| started + since_start())
    }

    /// By how much this machine's clock is behind; less than nothing where it is ahead.
    pub(super) fn behind(&self) -> SignedDuration {
        self.now().duration_since(Timestamp::now())
    }

    /// What this machine's clock will show at a time of AWS's.
    pub fn here(&self, at: Timestamp) -> Timestamp {
        at - self.behind()
    }

    /// In words, if this machine's clock is off.
    pub fn correction(&self) -> Option<String> {
        let off = self.started().map(|_| self.behind())?;
        let seconds = off.as_secs().unsigned_abs();
        let amount = match seconds {
            ..120 => format!("{seconds} s"),
            120..7200 => format!("{} min", (seconds + 30) / 60),
            _ => format!("{} h", (seconds + 1800) / 3600),
        };
        let direction = if off.is_negative() { "ahead of" } else { "behind" };
        Some(format!(
            "this machine's clock is {amount} {direction} AWS's; corrected"
        ))
    }

    /// Hears the `Date` of an answer that took so long to come.
    pub(super) fn hear(&self, date: &str, took: Duration) {
        let date = DateTime::from_str(date, Format::HttpDate).ok();
        if let Some(told) = date.and_then(|date| Timestamp::from_second(date.secs()).ok()) {
            let half = SignedDuration::try_from(took / 2).unwrap_or_default();
            // The middle of the second that was told, and of the way here.
            if let Ok(now) = told.checked_add(SignedDuration::from_millis(500) + half) {
                self.set(now);
            }
        }
    }

    fn set(&self, now: Timestamp) {
        let off = now.duration_since(Timestamp::now()).abs();
        if off > NONSENSE {
            return;
        }
        let started = (off >= NONE).then(|| now - since_start());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = started;
    }

    /// Whether it was corrected since it was that much behind.
    pub(super) fn corrected_since(&self, behind: SignedDuration) -> bool {
        (self.behind() - behind).abs() >= NONE
    }

    /// One attempt of a signed call. That the clock was corrected by its answer is why it failed, if it did.
    pub(super) async fn watched<T>(
        &self,
        attempt: impl Future<Output = Result<T, AttemptError>>,
    ) -> Result<T, AttemptError> {
        let behind = self.behind();
        let asked = attempt.await;
        asked.map_err(|failed| {
            if self.corrected_since(behind) {
                AttemptError {
                    kind: FailureKind::ClockCorrected,
                    ..failed
                }
            } else {
                failed
            }
        })
    }
}

fn since_start() -> SignedDuration {
    let since = clock_gettime(ClockId::Boottime);
    SignedDuration::new(since.tv_sec, i32::try_from(since.tv_nsec).unwrap_or(0))
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self).into()
    }
}

impl Serialize for Clock {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.started().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let started = Option::deserialize(deserializer)?;
        Ok(Self(Arc::new(Mutex::new(started))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(off: SignedDuration) -> Clock {
        let clock = Clock::default();
        let date = (Timestamp::now() + off).strftime("%a, %d %b %Y %H:%M:%S GMT");
        clock.hear(&date.to_string(), Duration::ZERO);
        clock
    }

    #[test]
    fn a_clock_that_is_off_is_corrected() {
        for (minutes, words) in [
            (10, "10 min behind"),
            (-10, "10 min ahead of"),
            (181, "3 h behind"),
        ] {
            let off = SignedDuration::from_mins(minutes);
            let clock = told(off);
            let wrong = clock.now().duration_since(Timestamp::now() + off).abs();
            assert!(wrong < SignedDuration::from_secs(2), "{minutes}: {wrong}");
            assert!(clock.corrected_since(SignedDuration::ZERO));
            assert!(!clock.corrected_since(off));
            let said = clock.correction().expect("said");
            assert!(said.contains(words), "{said}");
            // A time of AWS's, as this machine will show it.
            let here = clock.here(clock.now()).duration_since(Timestamp::now()).abs();
            assert!(here < SignedDuration::from_secs(2), "{minutes}: {here}");
        }
    }

    #[test]
    fn seconds_are_no_correction_and_the_last_answer_counts() {
        for off in [-20, 0, 20] {
            let clock = told(SignedDuration::from_secs(off));
            assert_eq!(clock.correction(), None);
            assert_eq!(serde_json::to_string(&clock).expect("JSON"), "null");
        }
        let clock = told(SignedDuration::from_mins(10));
        for nonsense in [
            "nonsense",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            clock.hear(nonsense, Duration::ZERO);
        }
        assert!(clock.correction().is_some());
        let right = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        clock.hear(&right, Duration::ZERO);
        assert_eq!(clock.correction(), None);
    }

    #[test]
    fn a_session_keeps_it() {
        let clock = told(SignedDuration::from_mins(-7));
        let text = serde_json::to_string(&clock).expect("JSON");
        let read: Clock = serde_json::from_str(&text).expect("a clock");
        assert_eq!(read.correction(), clock.correction());
    }
}
