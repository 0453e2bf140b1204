//! An HTTP client for servers without an SDK (GitHub and downloads). It uses rustls, and the certificates and the
//! proxy of this machine.

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper::body::{Body, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;
use tower::BoxError;

use crate::connection_error::{ProxyFailure, cause};
use crate::failure_kind::FailureKind;
use crate::proxy::{ProxySettings, ProxyUrl};
use crate::retry::AttemptError;
use crate::trace::RequestLog;
use crate::trust;

/// A response whose body is streamed.
pub type StreamedResponse = Response<Incoming>;

/// A client for one server. It logs each request in the debug log.
#[derive(Debug, Clone)]
pub enum ServerClient<B> {
    Direct(legacy::Client<HttpsConnector<HttpConnector>, B>),
    Proxied(
        legacy::Client<HttpsConnector<Tunnel<HttpConnector>>, B>,
        Box<ProxyUrl>,
    ),
}

impl<B> ServerClient<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Returns a client for the server of a URL.
    pub fn for_url(url: &Uri) -> anyhow::Result<Self> {
        Self::with_proxies(url, &ProxySettings::from_env())
    }

    fn with_proxies(url: &Uri, proxies: &ProxySettings) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        let builder = legacy::Client::builder(TokioExecutor::new());
        let Some(proxy) = proxies.for_url(url)? else {
            return Ok(Self::Direct(builder.build(with_tls(connector)?)));
        };
        // A matcher for all URLs, only to take the user and the password out of the proxy's URL.
        let matcher = Matcher::builder().all(proxy.expose().to_string()).build();
        let intercept = matcher.intercept(url).context("reading the URL of the proxy")?;
        let mut tunnel = Tunnel::new(intercept.uri().clone(), connector);
        if let Some(auth) = intercept.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok(Self::Proxied(builder.build(with_tls(tunnel)?), Box::new(proxy)))
    }

    /// Sends a request, and returns as soon as the response's headers are received.
    pub async fn send(&self, request: Request<B>) -> Result<StreamedResponse, BoxError> {
        let url = request.uri().clone();
        let request_log = RequestLog::begin(request.method().as_str(), &url.to_string());
        let (response, proxy) = match self {
            Self::Direct(client) => (client.request(request).await, None),
            Self::Proxied(client, proxy) => (client.request(request).await, Some(&**proxy)),
        };
        match &response {
            Ok(response) => {
                let header = |name: &str| response.headers().get(name)?.to_str().ok();
                request_log.answered(response.status().as_u16(), header);
            }
            Err(error) => request_log.failed(&cause(error)),
        }
        response.map_err(|error| ProxyFailure::or_other(error.into(), proxy, &url))
    }
}

/// Adds TLS to a connector.
fn with_tls<C>(connector: C) -> anyhow::Result<HttpsConnector<C>> {
    let tls = rustls::ClientConfig::builder().with_root_certificates(trust::roots()?);
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth());
    Ok(builder.https_or_http().enable_http1().wrap_connector(connector))
}

/// Classifies an error of [`ServerClient::send`] or of a response's body.
pub fn no_response(error: &(dyn std::error::Error + 'static)) -> AttemptError {
    let kind = FailureKind::from_error(error);
    match ProxyFailure::find(error) {
        Some(problem) => AttemptError::new(kind, problem.clone()),
        None => AttemptError::new(kind, anyhow::anyhow!(cause(error))),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;
    use crate::error_code::ErrorCode;
    use crate::problem::Problem;
    use crate::proxy::tests::{CASES, HTTP, HTTPS};

    #[test]
    fn a_proxy_that_refuses_connections_is_reported() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = Uri::from_static("https://api.github.com/meta");
        let settings = ProxySettings::of("", "http://me:word@127.0.0.1:1", "");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let error = runtime.block_on(async {
            let client = ServerClient::with_proxies(&url, &settings).expect("a client");
            let request = Request::get(&url).body(Empty::<Bytes>::new());
            client
                .send(request.expect("a request"))
                .await
                .expect_err("refused")
        });
        let failed = no_response(&*error);
        assert_eq!(failed.kind, FailureKind::ConnectionFailed);
        let problem = failed.error.downcast_ref::<Problem>().expect("a problem");
        assert_eq!(problem.code, ErrorCode::ProxyFailed);
        assert!(!problem.to_string().contains("word"), "{problem}");
    }

    #[test]
    fn the_proxy_is_the_one_of_the_common_rule() {
        for (no_proxy, url, expected) in CASES {
            let settings = ProxySettings::of(HTTP, HTTPS, no_proxy);
            let client = ServerClient::<Empty<Bytes>>::with_proxies(&url.parse().expect(url), &settings);
            let client = client.expect(url);
            let proxied = matches!(client, ServerClient::Proxied(..));
            assert_eq!(proxied, expected.is_some(), "{no_proxy} {url}");
            let text = format!("{client:?}");
            assert!(!text.contains("word") && !text.contains("me:"), "{text}");
        }
    }
}
