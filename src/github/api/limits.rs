//! GitHub's rate limits: how long to wait before the next request
//! (<https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>).

use std::time::Duration;

use jiff::fmt::rfc2822;

/// The wait for a rate limit, if GitHub's response does not have its duration.
const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// Returns how long a rate limit lasts; `None` if the response is not one. A 403 is a rate limit or a missing permission.
pub(super) fn wait<'a>(
    status: u16,
    message: &str,
    header: impl Fn(&str) -> Option<&'a str>,
) -> Option<Duration> {
    if !matches!(status, 403 | 429) {
        return None;
    }
    if let Some(seconds) = header("retry-after").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    if header("x-ratelimit-remaining") == Some("0") {
        return Some(until_reset(&header).unwrap_or(DEFAULT_WAIT));
    }
    let limited = status == 429 || message.to_lowercase().contains("rate limit");
    limited.then_some(DEFAULT_WAIT)
}

/// Returns the time until the limit is reset, by the server's clock: this machine's may be wrong.
fn until_reset<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let reset: i64 = header("x-ratelimit-reset")?.parse().ok()?;
    let date = rfc2822::parse(header("date")?).ok()?;
    let left = reset.saturating_sub(date.timestamp().as_second());
    // One more second, because the second of the reset is not over yet.
    Some(Duration::from_secs(
        u64::try_from(left).unwrap_or(0).saturating_add(1),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: (&str, &str) = ("date", "Wed, 25 Nov 2026 19:00:00 GMT");
    const NONE_REMAINING: (&str, &str) = ("x-ratelimit-remaining", "0");

    fn wait_seconds(status: u16, message: &str, headers: &[(&'static str, &'static str)]) -> Option<u64> {
        let header = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        wait(status, message, header).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_limit_lasts_as_long_as_github_says() {
        let reset = |seconds: &'static str| ("x-ratelimit-reset", seconds);
        // 2026-11-25T19:00:00Z is 1795633200.
        for (status, message, headers, seconds) in [
            (429, "", vec![("retry-after", "7")], Some(7)),
            (403, "", vec![("retry-after", "7"), NONE_REMAINING], Some(7)),
            (
                403,
                "API rate limit exceeded",
                vec![DATE, NONE_REMAINING, reset("1795633230")],
                Some(31),
            ),
            (
                403,
                "",
                vec![DATE, NONE_REMAINING, reset("1795636800")],
                Some(3601),
            ),
            (403, "", vec![DATE, NONE_REMAINING, reset("1795633100")], Some(1)),
            (403, "", vec![NONE_REMAINING], Some(60)),
            (403, "You have exceeded a secondary rate limit", vec![], Some(60)),
            (429, "", vec![("x-ratelimit-remaining", "12")], Some(60)),
            (
                403,
                "Resource not accessible by integration",
                vec![("x-ratelimit-remaining", "12")],
                None,
            ),
            (404, "Not Found", vec![NONE_REMAINING], None),
            (503, "", vec![("retry-after", "7")], None),
        ] {
            assert_eq!(
                wait_seconds(status, message, &headers),
                seconds,
                "{status} {message} {headers:?}"
            );
        }
    }
}
