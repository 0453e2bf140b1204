//! AWS's time, learned from its responses. AWS rejects signatures that are minutes off its own clock, and a runner's clock
//! may be further off than that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::failure_kind::FailureKind;
use crate::retry::AttemptError;

/// Smaller offsets are ignored: the `Date` header has whole seconds, and a response is in transit for a while.
const MIN_OFFSET: SignedDuration = SignedDuration::from_secs(30);

/// Larger offsets are ignored: TLS would already have failed, so the `Date` header is bogus.
const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(24 * 366);

/// AWS's clock. Clones share their state.
///
/// While the machine's clock is off, it holds the time at which the machine was booted, by AWS's clock. The time since boot
/// is the same for every process on the machine, and stays correct when the machine's clock is set.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Option<Timestamp>>>);

impl Clock {
    /// Returns the time of boot by AWS's clock; `None` while the machine's clock is right.
    fn booted_at(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns AWS's time.
    pub fn now(&self) -> Timestamp {
        self.booted_at()
            .map_or_else(Timestamp::now, |booted_at| booted_at + since_boot())
    }

    /// Returns by how much this machine's clock is behind; negative if it is ahead.
    pub(super) fn behind(&self) -> SignedDuration {
        self.now().duration_since(Timestamp::now())
    }

    /// Converts AWS's time to the time of this machine's clock.
    pub fn to_local(&self, at: Timestamp) -> Timestamp {
        at - self.behind()
    }

    /// Returns the sentence that reports the offset, if this machine's clock is off.
    pub fn correction(&self) -> Option<String> {
        let off = self.booted_at().map(|_| self.behind())?;
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

    /// Learns the time from the `Date` header of a response. `took` is the time from the request to the response.
    pub(super) fn observe_date(&self, date: &str, took: Duration) {
        let date = DateTime::from_str(date, Format::HttpDate).ok();
        if let Some(sent) = date.and_then(|date| Timestamp::from_second(date.secs()).ok()) {
            let half = SignedDuration::try_from(took / 2).unwrap_or_default();
            // The middle of that second, plus half of the round trip.
            if let Ok(now) = sent.checked_add(SignedDuration::from_millis(500) + half) {
                self.set(now);
            }
        }
    }

    fn set(&self, now: Timestamp) {
        let off = now.duration_since(Timestamp::now()).abs();
        if off > MAX_OFFSET {
            return;
        }
        let booted_at = (off >= MIN_OFFSET).then(|| now - since_boot());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = booted_at;
    }

    /// Returns whether the clock was corrected since [`Self::behind`] returned this value.
    pub(super) fn corrected_since(&self, behind: SignedDuration) -> bool {
        (self.behind() - behind).abs() >= MIN_OFFSET
    }

    /// Runs one attempt of a signed call. If it fails and its response corrected the clock, the clock was the reason, and
    /// the call is retried.
    pub(super) async fn with_clock_check<T>(
        &self,
        attempt: impl Future<Output = Result<T, AttemptError>>,
    ) -> Result<T, AttemptError> {
        let behind = self.behind();
        let result = attempt.await;
        result.map_err(|failed| {
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

/// The clock that counts since the machine was booted, also while it sleeps. The monotonic one stands still then on Linux,
/// and not on macOS.
#[cfg(not(target_os = "macos"))]
const SINCE_BOOT: ClockId = ClockId::Boottime;
#[cfg(target_os = "macos")]
const SINCE_BOOT: ClockId = ClockId::Monotonic;

/// Returns the time since the machine was booted.
fn since_boot() -> SignedDuration {
    let since = clock_gettime(SINCE_BOOT);
    SignedDuration::new(since.tv_sec, i32::try_from(since.tv_nsec).unwrap_or(0))
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self).into()
    }
}

impl Serialize for Clock {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.booted_at().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let booted_at = Option::deserialize(deserializer)?;
        Ok(Self(Arc::new(Mutex::new(booted_at))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a clock that observed a `Date` this far from the machine's time.
    fn clock_off_by(off: SignedDuration) -> Clock {
        let clock = Clock::default();
        let date = (Timestamp::now() + off).strftime("%a, %d %b %Y %H:%M:%S GMT");
        clock.observe_date(&date.to_string(), Duration::ZERO);
        clock
    }

    #[test]
    fn minutes_of_offset_are_corrected() {
        for (minutes, words) in [
            (10, "10 min behind"),
            (-10, "10 min ahead of"),
            (181, "3 h behind"),
        ] {
            let off = SignedDuration::from_mins(minutes);
            let clock = clock_off_by(off);
            let wrong = clock.now().duration_since(Timestamp::now() + off).abs();
            assert!(wrong < SignedDuration::from_secs(2), "{minutes}: {wrong}");
            assert!(clock.corrected_since(SignedDuration::ZERO));
            assert!(!clock.corrected_since(off));
            let sentence = clock.correction().expect("a sentence");
            assert!(sentence.contains(words), "{sentence}");
            let local = clock.to_local(clock.now()).duration_since(Timestamp::now()).abs();
            assert!(local < SignedDuration::from_secs(2), "{minutes}: {local}");
        }
    }

    #[test]
    fn seconds_of_offset_are_ignored_and_the_last_date_counts() {
        for off in [-20, 0, 20] {
            let clock = clock_off_by(SignedDuration::from_secs(off));
            assert_eq!(clock.correction(), None);
            assert_eq!(serde_json::to_string(&clock).expect("JSON"), "null");
        }
        let clock = clock_off_by(SignedDuration::from_mins(10));
        for bogus in [
            "nonsense",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            clock.observe_date(bogus, Duration::ZERO);
        }
        assert!(clock.correction().is_some());
        let right = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        clock.observe_date(&right, Duration::ZERO);
        assert_eq!(clock.correction(), None);
    }

    #[test]
    fn a_correction_survives_serialization() {
        let clock = clock_off_by(SignedDuration::from_mins(-7));
        let text = serde_json::to_string(&clock).expect("JSON");
        let read: Clock = serde_json::from_str(&text).expect("a clock");
        assert_eq!(read.correction(), clock.correction());
    }
}
