//! How long GitHub asks to be left alone
//! (<https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>).

use std::time::Duration;

use jiff::fmt::rfc2822;

/// Where GitHub says that there is a limit, and not how long it lasts.
const AT_LEAST: Duration = Duration::from_secs(60);

/// None where it is not a limit that ended the request: a 403 may be one, or want a permission.
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
        return Some(until_reset(&header).unwrap_or(AT_LEAST));
    }
    let limited = status == 429 || message.to_lowercase().contains("rate limit");
    limited.then_some(AT_LEAST)
}

/// By the clock of the server: that of this machine may be wrong.
fn until_reset<'a>(header: &impl Fn(&str) -> Option<&'a str>) -> Option<Duration> {
    let reset: i64 = header("x-ratelimit-reset")?.parse().ok()?;
    let date = rfc2822::parse(header("date")?).ok()?;
    let left = reset.saturating_sub(date.timestamp().as_second());
    // The second in which it is lifted is not over yet.
    Some(Duration::from_secs(
        u64::try_from(left).unwrap_or(0).saturating_add(1),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: (&str, &str) = ("date", "Wed, 25 Nov 2026 19:00:00 GMT");
    const USED_UP: (&str, &str) = ("x-ratelimit-remaining", "0");

    fn waited(status: u16, message: &str, headers: &[(&'static str, &'static str)]) -> Option<u64> {
        let header = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        wait(status, message, header).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_limit_lasts_as_long_as_github_says() {
        let reset = |seconds: &'static str| ("x-ratelimit-reset", seconds);
        // 2026-11-25T19:00:00Z is 1795633200.
        for (status, message, headers, seconds) in [
            (429, "", vec![("retry-after", "7")], Some(7)),
            (403, "", vec![("retry-after", "7"), USED_UP], Some(7)),
            (
                403,
                "API rate limit exceeded",
                vec![DATE, USED_UP, reset("1795633230")],
                Some(31),
            ),
            (403, "", vec![DATE, USED_UP, reset("1795636800")], Some(3601)),
            (403, "", vec![DATE, USED_UP, reset("1795633100")], Some(1)),
            (403, "", vec![USED_UP], Some(60)),
            (403, "You have exceeded a secondary rate limit", vec![], Some(60)),
            (429, "", vec![("x-ratelimit-remaining", "12")], Some(60)),
            (
                403,
                "Resource not accessible by integration",
                vec![("x-ratelimit-remaining", "12")],
                None,
            ),
            (404, "Not Found", vec![USED_UP], None),
            (503, "", vec![("retry-after", "7")], None),
        ] {
            assert_eq!(
                waited(status, message, &headers),
                seconds,
                "{status} {message} {headers:?}"
            );
        }
    }
}
