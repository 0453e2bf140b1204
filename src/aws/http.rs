//! How AWS is called: the HTTP client of all its services.

use std::time::{Duration, Instant};

use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::timeout::TimeoutConfig;

use super::{Clock, Place};
use crate::problem::{Problem, chain};
use crate::trace::Exchange;
use crate::trust;

/// The SDK's loader with our HTTP client, AWS's time, and bounds on each attempt.
pub(super) fn loader(region: Option<&str>, clock: &Clock) -> Result<ConfigLoader, Problem> {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(client(clock)?)
        .time_source(clock.clone())
        // It would add what it learns to what the clock has learnt from the same answer.
        .disable_clock_skew_correction(true)
        .timeout_config(timeouts());
    Ok(match region {
        Some(region) => loader.region(Region::new(region.to_owned())),
        None => loader,
    })
}

/// The same for one provider of credentials, where the loader's whole chain is not wanted.
pub(super) fn provider_config(place: &Place, clock: &Clock) -> Result<ProviderConfig, Problem> {
    Ok(ProviderConfig::without_region()
        .with_region(Some(Region::new(place.region.clone())))
        .with_use_fips(Some(place.fips))
        .with_http_client(client(clock)?)
        .with_time_source(clock.clone())
        .with_sleep_impl(TokioSleep::new())
        .with_timeout_config(timeouts()))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(15))
        .build()
}

/// rustls on ring as kube uses it, and the proxy of the environment, which the SDK ignores unless told.
fn client(clock: &Clock) -> Result<Client, Problem> {
    let mut trusted = tls::TrustStore::default();
    let bundle = trust::for_aws()?.pem();
    if !bundle.is_empty() {
        trusted.add_pem_certificate(bundle);
    }
    let inner = aws_smithy_http_client::Builder::new().build_with_connector_fn(move |settings, _| {
        let connector = Connector::builder().proxy_config(ProxyConfig::from_env());
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
    });
    Ok(Client {
        inner,
        clock: clock.clone(),
    })
}

/// Below the SDK, not an interceptor of one service: so it sees the calls of the default chain as well.
#[derive(Debug)]
struct Client {
    inner: SharedHttpClient,
    clock: Clock,
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Observed {
            inner: self.inner.http_connector(settings, components),
            clock: self.clock.clone(),
        })
    }
}

/// Each answer, an error too, tells the time, and is a line of the debug log.
#[derive(Debug)]
struct Observed {
    inner: SharedHttpConnector,
    clock: Clock,
}

impl HttpConnector for Observed {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let exchange = Exchange::begin(request.method(), request.uri());
        let on_this_machine = is_link_local(request.uri());
        let clock = self.clock.clone();
        let began = Instant::now();
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            match &answer {
                Ok(answer) => {
                    let headers = answer.headers();
                    if let Some(date) = headers.get("date").filter(|_| !on_this_machine) {
                        clock.hear(date, began.elapsed());
                    }
                    exchange.answered(answer.status().as_u16(), |name| headers.get(name));
                }
                Err(error) => exchange.failed(&chain(error)),
            }
            answer
        })
    }
}

/// Instance metadata and the Pod Identity agent answer with the clock of this machine, or of its node.
fn is_link_local(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.starts_with("169.254.") || host.starts_with("[fd00:ec2:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_machine_itself_is_none() {
        assert!(is_link_local("http://169.254.169.254/latest/api/token"));
        assert!(is_link_local("http://[fd00:ec2::23]/v1/credentials"));
        assert!(!is_link_local("https://sts.eu-west-1.amazonaws.com/"));
        assert!(!is_link_local("http://[::1]:4566/"));
    }
}
