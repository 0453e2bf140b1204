//! Kinds of failed requests: which of them are retried, and for how long.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::problem::chain;

/// Why a request failed, as far as a retry is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The service throttles requests: ours, or all requests.
    Throttled,
    /// The service throttles requests and asks for a delay of a minute or more.
    RateLimited,
    /// The service, or something behind it, fails or is overloaded (5xx).
    Unavailable,
    /// The connection was refused, reset or closed.
    ConnectionFailed,
    /// No response in time.
    TimedOut,
    /// The host name does not exist, or no DNS server responds.
    DnsFailed,
    /// Another request changed the same object.
    Conflict,
    /// The target is still starting: a pod that was replaced, a kubelet whose certificate is pending.
    NotReady,
    /// No permission. An API server that has just started also denies requests, until it has loaded the roles.
    Denied,
    /// The request was signed with a wrong time, and its response corrected the clock.
    ClockCorrected,
    /// A retry would get the same response.
    Permanent,
}

impl FailureKind {
    /// Returns how long to keep retrying this kind of failure. Retryability is decided only here. A minute covers the restart
    /// of an API server, a throttling period, and the approval of a certificate (docker/buildx#2668). The limit is shorter
    /// if the address is probably wrong or cannot be reached from this machine.
    pub fn max_elapsed(self) -> Duration {
        Duration::from_secs(match self {
            Self::RateLimited => 120,
            Self::Throttled
            | Self::Unavailable
            | Self::ConnectionFailed
            | Self::Conflict
            | Self::NotReady => 60,
            // ClockCorrected happens once: the next failure is of another kind.
            Self::TimedOut | Self::ClockCorrected => 20,
            Self::DnsFailed => 10,
            Self::Denied | Self::Permanent => 0,
        })
    }

    /// Returns whether the server itself was down, overloaded or not reachable.
    pub fn is_unavailable(self) -> bool {
        matches!(self, Self::Unavailable | Self::ConnectionFailed | Self::TimedOut)
    }

    /// Returns whether a denial is transient: the server was unavailable a moment ago and may not have loaded its roles.
    pub fn is_startup_denial(self, last_unavailable: Option<Instant>) -> bool {
        self == Self::Denied && last_unavailable.is_some_and(|at| at.elapsed() < ROLE_LOADING_GRACE)
    }

    /// Returns the kind of failure that an HTTP status stands for.
    pub fn from_status(code: u16) -> Self {
        match code {
            429 => Self::Throttled,
            409 => Self::Conflict,
            408 | 500.. => Self::Unavailable,
            _ => Self::Permanent,
        }
    }

    /// Returns the kind of failure of a request that got no response, from the types of the error and its causes. The
    /// clients have no error codes in common. An untrusted certificate stays untrusted, so that is permanent.
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut causes = std::iter::successors(Some(error), |&error| error.source());
        causes
            .find_map(Self::from_cause)
            .unwrap_or_else(|| Self::from_text(&chain(error)))
    }

    /// Returns the kind of failure that the type of one cause shows, if it shows one.
    pub fn from_cause(cause: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(match tls {
                rustls::Error::InvalidCertificate(_) => Self::Permanent,
                _ => Self::ConnectionFailed,
            });
        }
        if let Some(http) = cause.downcast_ref::<hyper::Error>() {
            return http.is_timeout().then_some(Self::TimedOut);
        }
        if cause.is::<tokio::time::error::Elapsed>() {
            return Some(Self::TimedOut);
        }
        let io = cause.downcast_ref::<io::Error>()?;
        // `source` of an `io::Error` skips the error that it wraps.
        if let Some(wrapped) = io.get_ref()
            && let Some(kind) = Self::from_cause(wrapped)
        {
            return Some(kind);
        }
        match io.kind() {
            ErrorKind::TimedOut => Some(Self::TimedOut),
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => Some(Self::ConnectionFailed),
            // A failed name lookup has no kind of its own.
            _ if io.to_string().starts_with(Self::DNS_ERROR_PREFIX) => Some(Self::DnsFailed),
            _ => None,
        }
    }

    /// The text with which the standard library begins the error of a name lookup.
    pub const DNS_ERROR_PREFIX: &str = "failed to lookup address information: ";

    /// Returns the kind of failure from an error's text, if no type shows it: the connect timeout of the AWS SDK, for example,
    /// has a private type.
    fn from_text(text: &str) -> Self {
        let text = text.to_lowercase();
        let contains = |patterns: &[&str]| patterns.iter().any(|pattern| text.contains(pattern));
        if contains(&["failed to lookup address", "dns error", "name resolution"]) {
            Self::DnsFailed
        } else if contains(&["timed out", "timeout", "deadline has elapsed"]) {
            Self::TimedOut
        } else {
            Self::ConnectionFailed
        }
    }
}

/// How long after a restart an API server may deny everything, because it has not loaded the roles. Measured: less than a
/// second.
const ROLE_LOADING_GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_http_statuses() {
        for (code, kind) in [
            (429, FailureKind::Throttled),
            (409, FailureKind::Conflict),
            (500, FailureKind::Unavailable),
            (503, FailureKind::Unavailable),
            (401, FailureKind::Permanent),
            (403, FailureKind::Permanent),
            (404, FailureKind::Permanent),
            (422, FailureKind::Permanent),
        ] {
            assert_eq!(FailureKind::from_status(code), kind, "{code}");
        }
    }

    #[test]
    fn kinds_of_errors() {
        let io = |kind: ErrorKind| io::Error::from(kind);
        let tls = |error: rustls::Error| io::Error::new(ErrorKind::InvalidData, error);
        let untyped = |text: &str| io::Error::other(text.to_owned());
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::InternalError);
        for (error, kind) in [
            (io(ErrorKind::ConnectionRefused), FailureKind::ConnectionFailed),
            (io(ErrorKind::ConnectionReset), FailureKind::ConnectionFailed),
            // rustls: a connection that is closed without close_notify.
            (io(ErrorKind::UnexpectedEof), FailureKind::ConnectionFailed),
            (io(ErrorKind::TimedOut), FailureKind::TimedOut),
            (tls(untrusted), FailureKind::Permanent),
            (tls(alert), FailureKind::ConnectionFailed),
            (untyped("an unknown error"), FailureKind::ConnectionFailed),
            (
                untyped("dns error: failed to lookup address information: Try again"),
                FailureKind::DnsFailed,
            ),
            (
                untyped("HTTP connect timeout occurred after 5s"),
                FailureKind::TimedOut,
            ),
            (untyped("deadline has elapsed"), FailureKind::TimedOut),
            (
                untyped("tcp connect error: Connection refused (os error 111)"),
                FailureKind::ConnectionFailed,
            ),
            (
                untyped("connection error: Connection reset by peer"),
                FailureKind::ConnectionFailed,
            ),
        ] {
            assert_eq!(FailureKind::from_error(&error), kind, "{error}");
            let text = error.to_string();
            let nested = kube::Error::Service(Box::new(error));
            assert_eq!(FailureKind::from_error(&nested), kind, "nested: {text}");
        }
    }
}
