//! Errors of requests that got no response: their text, and the error of a proxy that failed instead of the server.

use std::error::Error;
use std::iter;

use http::Uri;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use tower::{BoxError, Service};

use crate::error_code::ErrorCode;
use crate::failure_kind::FailureKind;
use crate::problem::{Problem, chain};
use crate::proxy::ProxyUrl;

/// Returns why a request got no response. Leaves out what the HTTP clients add around the cause, such as "client error
/// (Connect): tcp connect error".
pub fn cause(error: &(dyn Error + 'static)) -> String {
    if let Some(failure) = ProxyFailure::find(error) {
        return failure.what.trim_end_matches('.').to_owned();
    }
    let start = causes(error)
        .find(|&cause| FailureKind::from_cause(cause).is_some())
        .or_else(|| causes(error).find(|cause| !cause.is::<legacy::Error>()));
    let text = chain(start.unwrap_or(error));
    match text.strip_prefix(FailureKind::DNS_ERROR_PREFIX) {
        Some(reason) => reason.to_owned(),
        // tokio's text for any timeout. Here, only connecting has one.
        None if text == "deadline has elapsed" => "Connection timed out".to_owned(),
        None => text,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// The error type of [`Tunnel`], which hyper-util does not export. kube and the AWS SDK use it as well.
type TunnelError = <Tunnel<HttpConnector> as Service<Uri>>::Error;

/// The error of a request whose proxy failed, not the server.
#[derive(Debug, thiserror::Error)]
#[error("{}", problem.what)]
pub struct ProxyFailure {
    problem: Problem,
    #[source]
    cause: BoxError,
}

impl ProxyFailure {
    /// Returns the error of a request to `url`, as a `ProxyFailure` if the proxy caused it.
    pub fn or_other(error: BoxError, proxy: Option<&ProxyUrl>, url: &Uri) -> BoxError {
        let Some(proxy) = proxy else { return error };
        let tunnel = causes(&*error).find_map(|cause| cause.downcast_ref::<TunnelError>());
        let kind = FailureKind::from_error(&*error);
        // The timeout of connecting includes the proxy's response to CONNECT.
        if tunnel.is_none() && kind != FailureKind::TimedOut {
            return error;
        }
        let host = url.host().unwrap_or_default();
        let mut remedy = proxy.remedy(host);
        let why = match tunnel {
            Some(TunnelError::ProxyAuthRequired) => {
                remedy = proxy.user_remedy();
                "it requires a user and a password (407)".to_owned()
            }
            Some(TunnelError::TunnelUnsuccessful) => format!("it did not open a connection to {host}"),
            Some(TunnelError::TunnelUnexpectedEof) => "it closed the connection".to_owned(),
            _ if kind == FailureKind::DnsFailed => {
                remedy = proxy.dns_remedy();
                format!("its host name could not be resolved: {}", cause(&*error))
            }
            _ => cause(&*error),
        };
        let problem = Problem::new(
            ErrorCode::ProxyFailed,
            format!("Could not connect to {host} through the proxy {proxy}: {why}."),
            remedy,
        );
        Box::new(Self {
            problem,
            cause: error,
        })
    }

    /// Returns the error of a proxy among the causes of an error.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Problem> {
        let failure = causes(error).find_map(|cause| cause.downcast_ref::<Self>());
        failure.map(|failure| &failure.problem)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    /// An error that only wraps another one.
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Wrapper(&'static str, #[source] BoxError);

    fn wrapped(error: impl Into<BoxError>) -> Wrapper {
        let connect = Wrapper("tcp connect error", error.into());
        Wrapper(
            "dispatch failure",
            Wrapper("client error (Connect)", connect.into()).into(),
        )
    }

    #[test]
    fn the_cause_is_without_the_texts_of_the_clients() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let elapsed = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            let never =
                async { tokio::time::timeout(std::time::Duration::ZERO, std::future::pending::<()>()).await };
            runtime.expect("a runtime").block_on(never).expect_err("elapsed")
        };
        for (error, text) in [
            (
                io::Error::from_raw_os_error(111),
                "Connection refused (os error 111)",
            ),
            (
                io::Error::from_raw_os_error(113),
                "No route to host (os error 113)",
            ),
            (
                io::Error::other("failed to lookup address information: Name or service not known"),
                "Name or service not known",
            ),
            (
                io::Error::new(ErrorKind::InvalidData, untrusted),
                "invalid peer certificate: UnknownIssuer",
            ),
            (
                io::Error::new(ErrorKind::TimedOut, elapsed()),
                "Connection timed out",
            ),
        ] {
            assert_eq!(cause(&wrapped(error)), text);
        }
        let unknown = wrapped("an unknown error");
        assert_eq!(
            cause(&unknown),
            "dispatch failure: client error (Connect): tcp connect error: an unknown error"
        );
    }

    fn failure(error: impl Into<BoxError>, proxy: Option<&ProxyUrl>) -> Option<Problem> {
        let url = Uri::from_static("https://k8s.example.com:6443/api");
        let error = ProxyFailure::or_other(wrapped(error).into(), proxy, &url);
        ProxyFailure::find(&*error).cloned()
    }

    #[test]
    fn errors_of_proxies() {
        let parse = |source| ProxyUrl::parse("http://me:word@proxy.corp:3128", source, "").expect("a URL");
        let (variable, kubeconfig) = (parse("HTTPS_PROXY"), parse(crate::proxy::KUBECONFIG_SOURCE));
        let refused = || io::Error::from_raw_os_error(111);
        let unresolved =
            || io::Error::other("failed to lookup address information: Name or service not known");
        let connect = |error: io::Error| TunnelError::ConnectFailed(Box::new(error));
        let texts = [
            failure(connect(refused()), Some(&variable)),
            failure(connect(unresolved()), Some(&variable)),
            failure(TunnelError::TunnelUnsuccessful, Some(&variable)),
            failure(TunnelError::ProxyAuthRequired, Some(&variable)),
            failure(TunnelError::TunnelUnexpectedEof, Some(&kubeconfig)),
            failure(TunnelError::ProxyAuthRequired, Some(&kubeconfig)),
            failure(io::Error::from(ErrorKind::TimedOut), Some(&variable)),
        ];
        let texts = texts.map(|problem| problem.expect("a failure of the proxy").to_string());
        insta::assert_snapshot!(texts.join("\n\n"));
        // Of the server behind the proxy.
        assert!(failure(refused(), Some(&variable)).is_none());
        // Without a proxy.
        assert!(failure(io::Error::from(ErrorKind::TimedOut), None).is_none());
    }

    #[test]
    fn a_failure_of_a_proxy_is_retried_like_its_cause() {
        let proxy = ProxyUrl::parse("http://proxy.corp:3128", "HTTPS_PROXY", "").expect("a URL");
        let refused = TunnelError::ConnectFailed(Box::new(io::Error::from_raw_os_error(111)));
        let error = ProxyFailure::or_other(refused.into(), Some(&proxy), &Uri::from_static("https://a"));
        assert_eq!(FailureKind::from_error(&*error), FailureKind::ConnectionFailed);
        assert_eq!(
            cause(&*error),
            "Could not connect to a through the proxy http://proxy.corp:3128 (HTTPS_PROXY): Connection refused (os error 111)"
        );
    }
}
