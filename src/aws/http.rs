//! The HTTP client for all AWS services.

use std::time::{Duration, Instant};

use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::timeout::TimeoutConfig;
use http::Uri;

use super::clock::Clock;
use super::failure::cause;
use super::region::AwsRegion;
use crate::connection_error::ProxyFailure;
use crate::problem::Problem;
use crate::proxy::{ProxySettings, ProxyUrl};
use crate::trace::RequestLog;
use crate::trust;

/// Returns the SDK's configuration loader with our HTTP client, AWS's time, and a timeout for each attempt.
pub(super) fn loader(region: Option<&str>, clock: &Clock) -> Result<ConfigLoader, Problem> {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(client(clock)?)
        .time_source(clock.clone())
        // It would correct the clock a second time, by the same response.
        .disable_clock_skew_correction(true)
        .timeout_config(timeouts());
    Ok(match region {
        Some(region) => loader.region(Region::new(region.to_owned())),
        None => loader,
    })
}

/// Returns the same configuration for a single credentials provider, without the loader's default chain.
pub(super) fn provider_config(region: &AwsRegion, clock: &Clock) -> Result<ProviderConfig, Problem> {
    Ok(ProviderConfig::without_region()
        .with_region(Some(Region::new(region.name.clone())))
        .with_use_fips(Some(region.fips))
        .with_http_client(client(clock)?)
        .with_time_source(clock.clone())
        .with_sleep_impl(TokioSleep::new())
        .with_timeout_config(timeouts()))
}

/// Returns a configuration without the SDK's own retries: `retry` alone decides what is retried.
pub(super) fn no_sdk_retries() -> RetryConfig {
    RetryConfig::disabled()
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(15))
        .build()
}

/// Returns a client with rustls on ring, as kube has it, and the proxies of the environment, which the SDK ignores by
/// default.
fn client(clock: &Clock) -> Result<ObservedClient, Problem> {
    let mut trusted = tls::TrustStore::default();
    let bundle = trust::for_aws()?.pem();
    if !bundle.is_empty() {
        trusted.add_pem_certificate(bundle);
    }
    Ok(ObservedClient {
        inner: PerProxy::new(ProxySettings::from_env(), |proxy| sdk_client(proxy, &trusted)),
        clock: clock.clone(),
    })
}

/// Returns the SDK's client that sends every request through a proxy, or directly if `proxy` is `None`.
fn sdk_client(proxy: Option<&ProxyUrl>, trusted: &tls::TrustStore) -> SharedHttpClient {
    let proxy = proxy.and_then(|proxy| ProxyConfig::all(proxy.expose().clone()).ok());
    let proxy = proxy.unwrap_or_else(ProxyConfig::disabled);
    let trusted = trusted.clone();
    aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, _| {
        let connector = Connector::builder().proxy_config(proxy.clone());
        let connector = match settings {
            Some(settings) => connector.connector_settings(settings.clone()),
            None => connector,
        };
        let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let context = tls::TlsContext::builder()
            .with_trust_store(trusted.clone())
            .build();
        connector
            .sleep_impl(TokioSleep::new())
            .tls_provider(ring)
            .tls_context(context.unwrap_or_default())
            .build()
    })
}

/// Clients or connectors: one for each proxy, and one without a proxy.
#[derive(Debug)]
struct PerProxy<T> {
    settings: ProxySettings,
    direct: T,
    proxied: Vec<(ProxyUrl, T)>,
}

impl<T> PerProxy<T> {
    fn new(settings: ProxySettings, create: impl Fn(Option<&ProxyUrl>) -> T) -> Self {
        let proxies = settings.proxies().into_iter();
        Self {
            direct: create(None),
            proxied: proxies
                .map(|proxy| {
                    let created = create(Some(&proxy));
                    (proxy, created)
                })
                .collect(),
            settings,
        }
    }

    fn map<U>(&self, convert: impl Fn(&T) -> U) -> PerProxy<U> {
        let proxied = self.proxied.iter();
        PerProxy {
            settings: self.settings.clone(),
            direct: convert(&self.direct),
            proxied: proxied
                .map(|(proxy, inner)| (proxy.clone(), convert(inner)))
                .collect(),
        }
    }

    /// Returns the proxy for a URL, and what to send the request with.
    fn select(&self, url: &str) -> Result<(Option<&ProxyUrl>, &T), Problem> {
        let proxy = match url.parse() {
            Ok(url) => self.settings.for_url(&url)?,
            // The SDK reports an invalid URL.
            Err(_) => None,
        };
        let found = self
            .proxied
            .iter()
            .find(|(known, _)| Some(known) == proxy.as_ref());
        Ok(found.map_or((None, &self.direct), |(proxy, inner)| (Some(proxy), inner)))
    }
}

/// An HTTP client that chooses the proxy of each request, and observes each response. It is below the SDK, unlike an
/// interceptor of one service, and therefore also sees the calls of the default credential chain.
#[derive(Debug)]
struct ObservedClient {
    inner: PerProxy<SharedHttpClient>,
    clock: Clock,
}

impl HttpClient for ObservedClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(ObservedConnector {
            inner: self
                .inner
                .map(|client| client.http_connector(settings, components)),
            clock: self.clock.clone(),
        })
    }
}

/// A connector that learns the time from each response, also from errors, and writes a line to the debug log.
#[derive(Debug)]
struct ObservedConnector {
    inner: PerProxy<SharedHttpConnector>,
    clock: Clock,
}

impl HttpConnector for ObservedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (proxy, connector) = match self.inner.select(request.uri()) {
            Ok((proxy, connector)) => (proxy.cloned(), connector),
            Err(problem) => return HttpConnectorFuture::ready(Err(ConnectorError::user(problem.into()))),
        };
        let request_log = RequestLog::begin(request.method(), request.uri());
        let on_this_machine = is_link_local(request.uri());
        let clock = self.clock.clone();
        let url = request.uri().parse().unwrap_or_default();
        let started = Instant::now();
        let response = connector.call(request);
        HttpConnectorFuture::new(async move {
            let response = response.await;
            match &response {
                Ok(response) => {
                    let headers = response.headers();
                    if let Some(date) = headers.get("date").filter(|_| !on_this_machine) {
                        clock.observe_date(date, started.elapsed());
                    }
                    request_log.answered(response.status().as_u16(), |name| headers.get(name));
                }
                Err(error) => request_log.failed(&cause(error)),
            }
            response.map_err(|error| with_proxy(error, proxy.as_ref(), &url))
        })
    }
}

/// Returns an error as a [`ProxyFailure`] if the proxy caused it. It stays of the same kind for the SDK, whose own retries
/// the default credential chain has.
fn with_proxy(error: ConnectorError, proxy: Option<&ProxyUrl>, url: &Uri) -> ConnectorError {
    let timed_out = error.is_timeout();
    match ProxyFailure::or_other(error.into(), proxy, url).downcast() {
        Ok(error) => *error,
        Err(failure) if timed_out => ConnectorError::timeout(failure),
        Err(failure) => ConnectorError::io(failure),
    }
}

/// Returns whether a URL belongs to instance metadata or the Pod Identity agent. They have the clock of this machine or its
/// node, not AWS's.
fn is_link_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.starts_with("169.254.") || host.starts_with("[fd00:ec2:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tests::{CASES, HTTP, HTTPS};

    #[test]
    fn the_proxy_is_the_one_of_the_common_rule() {
        for (no_proxy, url, expected) in CASES {
            let settings = ProxySettings::of(HTTP, HTTPS, no_proxy);
            let clients = PerProxy::new(settings, |proxy| {
                let client = sdk_client(proxy, &tls::TrustStore::default());
                (proxy.cloned(), client)
            });
            let (proxy, (proxy_of_client, _)) = clients.select(url).expect(url);
            assert_eq!(proxy, proxy_of_client.as_ref());
            let proxy = proxy.map(|proxy| proxy.expose().to_string());
            assert_eq!(proxy.as_deref(), *expected, "{no_proxy} {url}");
            let text = format!("{clients:?}");
            assert!(!text.contains("word") && !text.contains("me:"), "{text}");
        }
    }

    #[test]
    fn link_local_addresses_have_no_aws_time() {
        assert!(is_link_local("http://169.254.169.254/latest/api/token"));
        assert!(is_link_local("http://[fd00:ec2::23]/v1/credentials"));
        assert!(!is_link_local("https://sts.eu-west-1.amazonaws.com/"));
        assert!(!is_link_local("http://[::1]:4566/"));
    }
}
