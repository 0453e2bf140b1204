//! How servers are called that no SDK is for, GitHub and those of downloads: over rustls, with the certificates and the
//! proxy of this machine.

use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper::body::{Body, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{self, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioExecutor;

use crate::problem::chain;
use crate::retry::{AttemptError, FailureKind};
use crate::trace::Exchange;
use crate::trust;

/// What a server answers; its body is read bit by bit.
pub type Answer = Response<Incoming>;

/// A client for one server. Each request of it is a line of the debug log.
#[derive(Debug, Clone)]
pub enum Client<B> {
    Direct(legacy::Client<HttpsConnector<HttpConnector>, B>),
    Proxied(legacy::Client<HttpsConnector<Tunnel<HttpConnector>>, B>),
}

impl<B> Client<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub fn of(url: &Uri) -> anyhow::Result<Self> {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        let builder = legacy::Client::builder(TokioExecutor::new());
        Ok(match Matcher::from_env().intercept(url) {
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                Self::Proxied(builder.build(over_tls(tunnel)?))
            }
            None => Self::Direct(builder.build(over_tls(direct)?)),
        })
    }

    pub async fn send(&self, request: Request<B>) -> Result<Answer, Error> {
        let exchange = Exchange::begin(request.method().as_str(), &request.uri().to_string());
        let answer = match self {
            Self::Direct(client) => client.request(request).await,
            Self::Proxied(client) => client.request(request).await,
        };
        match &answer {
            Ok(answer) => {
                let header = |name: &str| answer.headers().get(name)?.to_str().ok();
                exchange.answered(answer.status().as_u16(), header);
            }
            Err(error) => exchange.failed(&chain(error)),
        }
        answer
    }
}

fn over_tls<C>(connector: C) -> anyhow::Result<HttpsConnector<C>> {
    let tls = rustls::ClientConfig::builder().with_root_certificates(trust::roots()?);
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth());
    Ok(builder.https_or_http().enable_http1().wrap_connector(connector))
}

/// Classifies an error of [`Client::send`] or of a response's body.
pub fn no_answer(error: &(dyn std::error::Error + 'static)) -> AttemptError {
    // hyper-util's own text, "client error (Connect)", says nothing that its cause does not.
    let cause = error.source().filter(|_| error.is::<Error>()).unwrap_or(error);
    AttemptError::new(FailureKind::from_error(error), anyhow::anyhow!(chain(cause)))
}
