//! Creates a Kubernetes client from the kubeconfig of this job.

use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use kube::client::{AuthError, Body, ClientBuilder};
use kube::config::{self, Kubeconfig};
use kube::{Client, Config};
use tower::{Layer, Service};

use super::error;
use crate::connection_error::{ProxyFailure, cause};
use crate::proxy::{self, ProxySettings, ProxyUrl};
use crate::trace::RequestLog;
use crate::trust;

/// Returns a client and the URL of the API server.
pub(super) fn connect(kubeconfig: Kubeconfig) -> anyhow::Result<(Client, Uri)> {
    let (config, proxy) =
        to_config(kubeconfig, &ProxySettings::from_env()).context("cannot use the kubeconfig of this job")?;
    let server = config.cluster_url.clone();
    let layer = LogRequests {
        server: server.clone(),
        proxy,
    };
    // This runs the credential plugin and blocks until it ends. Without block_in_place no other worker may drive the
    // timers (tokio-rs/tokio#4730), and no deadline would end it.
    let client = tokio::task::block_in_place(|| ClientBuilder::try_from(config));
    let client = client.map(|builder| builder.with_layer(&layer).build());
    let client = client.map_err(|error| match error::plugin_error(&error) {
        Some(problem) => problem.into(),
        None => anyhow::Error::new(error).context("cannot create a Kubernetes client"),
    })?;
    Ok((client, server))
}

/// Converts a kubeconfig with one cluster and one user as kube's own loader does, except for the proxy (see `proxy`), which
/// it also returns.
fn to_config(kubeconfig: Kubeconfig, proxies: &ProxySettings) -> anyhow::Result<(Config, Option<ProxyUrl>)> {
    let cluster = kubeconfig.clusters.into_iter().find_map(|named| named.cluster);
    let cluster = cluster.context("it has no cluster")?;
    let user = kubeconfig
        .auth_infos
        .into_iter()
        .find_map(|named| named.auth_info);
    let mut user = user.unwrap_or_default();
    if let Some(exec) = &mut user.exec
        && exec.provide_cluster_info
    {
        exec.cluster = Some((&cluster).try_into()?);
    }
    let server = cluster.server.as_deref().context("it has no server")?;
    let mut config = Config::new(server.parse().context("its server is not a valid URL")?);
    config.root_cert = ca_certificates(&cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    let proxy = match cluster.proxy_url.filter(|url| !url.is_empty()) {
        Some(url) => Some(ProxyUrl::parse(&url, proxy::KUBECONFIG_SOURCE, PROXY_URL_REMEDY)?),
        None => proxies.for_url(&config.cluster_url)?,
    };
    config.proxy_url = proxy.as_ref().map(|proxy| proxy.expose().clone());
    config.tls_server_name = cluster.tls_server_name;
    config.auth_info = user;
    config.connect_timeout = Some(Duration::from_secs(10));
    // Requests are retried by `retry`.
    config.default_retry = false;
    Ok((config, proxy))
}

fn ca_certificates(cluster: &config::Cluster) -> anyhow::Result<Option<Vec<Vec<u8>>>> {
    let pem = match (
        &cluster.certificate_authority_data,
        &cluster.certificate_authority,
    ) {
        (Some(data), _) => STANDARD.decode(data).context("its CA is not valid base64")?,
        (None, Some(path)) => {
            std::fs::read(path).with_context(|| format!("cannot read its CA file {path}"))?
        }
        (None, None) => return Ok(None),
    };
    let found = trust::certificates(&pem);
    anyhow::ensure!(!found.is_empty(), "its CA contains no PEM certificate");
    Ok(Some(found.into_iter().map(|found| found.to_vec()).collect()))
}

const PROXY_URL_REMEDY: &str =
    "Set proxy-url to http://HOST:PORT, or remove it to use HTTPS_PROXY and NO_PROXY.";

/// The tower layer that writes each request to the debug log, and finds out whether a proxy failed.
struct LogRequests {
    server: Uri,
    proxy: Option<ProxyUrl>,
}

impl<S> Layer<S> for LogRequests {
    type Service = LoggedService<S>;

    fn layer(&self, inner: S) -> LoggedService<S> {
        LoggedService {
            inner,
            server: self.server.clone(),
            proxy: self.proxy.clone(),
        }
    }
}

struct LoggedService<S> {
    inner: S,
    server: Uri,
    proxy: Option<ProxyUrl>,
}

impl<S, B> Service<Request<Body>> for LoggedService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<tower::BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.server.to_string();
        let url = format!("{}{}", server.trim_end_matches('/'), request.uri());
        let request_log = RequestLog::begin(request.method().as_str(), &url);
        let answer = self.inner.call(request);
        let (server, proxy) = (self.server.clone(), self.proxy.clone());
        Box::pin(async move {
            let answer = answer.await;
            let answer = answer.map_err(|error| match error.into() {
                // The credential plugin failed, not the request.
                error if error.is::<AuthError>() => error,
                error => ProxyFailure::or_other(error, proxy.as_ref(), &server),
            });
            match &answer {
                Ok(answer) => request_log.answered(answer.status().as_u16(), |name| {
                    answer.headers().get(name).and_then(|value| value.to_str().ok())
                }),
                // Its text has the plugin's standard output, which may contain a credential.
                Err(error) if error.is::<AuthError>() => request_log.failed("the credential plugin failed"),
                Err(error) => request_log.failed(&cause(error.as_ref())),
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::tests::{CASES, HTTP, HTTPS};

    fn kubeconfig(cluster: &str) -> Kubeconfig {
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: c, cluster: {cluster}}}], \
             users: [{{name: u, user: {{token: t}}}}], contexts: [{{name: c, context: {{cluster: c, user: u}}}}]}}"
        );
        serde_saphyr::from_str(&text).expect("a kubeconfig")
    }

    #[test]
    fn a_kubeconfig_becomes_a_client_configuration() {
        let ca = STANDARD.encode(include_str!("../fixtures/ca.pem").repeat(2));
        let config = to_config(
            kubeconfig(&format!(
                "{{server: 'https://[::1]:6443/prefix', certificate-authority-data: {ca}, tls-server-name: kubernetes, \
             proxy-url: 'http://me:word@[::1]:3128'}}"
            )),
            &ProxySettings::default(),
        );
        let (config, _) = config.expect("a configuration");
        assert_eq!(config.cluster_url.host(), Some("[::1]"));
        assert_eq!(config.root_cert.map(|found| found.len()), Some(2));
        assert_eq!(config.tls_server_name.as_deref(), Some("kubernetes"));
        assert_eq!(
            config.proxy_url.map(|url| url.to_string()).as_deref(),
            Some("http://me:word@[::1]:3128/")
        );
        assert!(!config.accept_invalid_certs);
    }

    #[test]
    fn the_proxy_is_the_one_of_the_common_rule() {
        for (no_proxy, url, expected) in CASES {
            let settings = ProxySettings::of(HTTP, HTTPS, no_proxy);
            let config = to_config(kubeconfig(&format!("{{server: '{url}'}}")), &settings);
            let (config, _) = config.expect(url);
            let proxy = config.proxy_url.map(|url| url.to_string());
            assert_eq!(proxy.as_deref(), *expected, "{no_proxy} {url}");
        }
    }

    #[test]
    fn an_unsupported_proxy_is_reported_without_its_password() {
        for url in ["socks5://me:word@proxy:1080", "http://me:word@", "me:word@proxy"] {
            let error = to_config(
                kubeconfig(&format!("{{server: 'https://a', proxy-url: '{url}'}}")),
                &ProxySettings::default(),
            );
            let error = error.expect_err("no proxy").to_string();
            assert!(error.contains("Unsupported proxy"), "{error}");
            assert!(!error.contains("word"), "{error}");
        }
    }

    #[test]
    fn an_invalid_ca_is_an_error() {
        for ca in [
            "certificate-authority-data: '*'",
            "certificate-authority-data: Q0E=",
            "certificate-authority: /no",
        ] {
            assert!(
                to_config(
                    kubeconfig(&format!("{{server: 'https://a', {ca}}}")),
                    &ProxySettings::default()
                )
                .is_err(),
                "{ca}"
            );
        }
    }
}
