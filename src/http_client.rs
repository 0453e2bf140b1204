//! An HTTP client for servers without an SDK (GitHub and downloads). It uses rustls, and the certificates and the
//! proxy of this machine.

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper::body::{Body, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{self, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;

use crate::failure_kind::FailureKind;
use crate::problem::chain;
use crate::proxy::ProxySettings;
use crate::retry::AttemptError;
use crate::trace::RequestLog;
use crate::trust;

/// A response whose body is streamed.
pub type StreamedResponse = Response<Incoming>;

/// A client for one server. It logs each request in the debug log.
#[derive(Debug, Clone)]
pub enum ServerClient<B> {
    Direct(legacy::Client<HttpsConnector<HttpConnector>, B>),
    Proxied(legacy::Client<HttpsConnector<Tunnel<HttpConnector>>, B>),
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
        let proxy = matcher.intercept(url).context("reading the URL of the proxy")?;
        let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok(Self::Proxied(builder.build(with_tls(tunnel)?)))
    }

    /// Sends a request, and returns as soon as the response's headers are received.
    pub async fn send(&self, request: Request<B>) -> Result<StreamedResponse, Error> {
        let request_log = RequestLog::begin(request.method().as_str(), &request.uri().to_string());
        let response = match self {
            Self::Direct(client) => client.request(request).await,
            Self::Proxied(client) => client.request(request).await,
        };
        match &response {
            Ok(response) => {
                let header = |name: &str| response.headers().get(name)?.to_str().ok();
                request_log.answered(response.status().as_u16(), header);
            }
            Err(error) => request_log.failed(&chain(error)),
        }
        response
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
    // hyper-util's own text, "client error (Connect)", adds nothing to its cause.
    let cause = error.source().filter(|_| error.is::<Error>()).unwrap_or(error);
    AttemptError::new(FailureKind::from_error(error), anyhow::anyhow!(chain(cause)))
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;
    use crate::proxy::tests::{CASES, HTTP, HTTPS};

    #[test]
    fn the_proxy_is_the_one_of_the_common_rule() {
        for (no_proxy, url, expected) in CASES {
            let settings = ProxySettings::of(HTTP, HTTPS, no_proxy);
            let client = ServerClient::<Empty<Bytes>>::with_proxies(&url.parse().expect(url), &settings);
            let client = client.expect(url);
            let proxied = matches!(client, ServerClient::Proxied(_));
            assert_eq!(proxied, expected.is_some(), "{no_proxy} {url}");
            let text = format!("{client:?}");
            assert!(!text.contains("word") && !text.contains("me:"), "{text}");
        }
    }
}
