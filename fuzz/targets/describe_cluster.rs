//! Parses responses of EKS with the SDK. The input is `STATUS [ERROR-TYPE]`, a newline and the body. Every response
//! results in an endpoint that a kubeconfig can contain, or in an error with a remedy.
#![no_main]

use std::cell::RefCell;
use std::path::Path;

use aws_sdk_eks::Client;
use aws_sdk_eks::config::retry::RetryConfig;
use aws_sdk_eks::config::timeout::TimeoutConfig;
use aws_sdk_eks::config::{Credentials, IdentityCache, Region, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use kube::config::Kubeconfig;
use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::{Problem, describe_once, kubeconfig_text, with_authorities, with_plugin};
use tokio::runtime::{Builder, Runtime};

#[derive(Debug, Clone, Default)]
struct Response {
    status: u16,
    error: Option<String>,
    body: Vec<u8>,
}

thread_local! {
    static RESPONSE: RefCell<Response> = RefCell::default();
    static EKS: (Runtime, Client) = (Builder::new_current_thread().build().expect("a runtime"), client());
}

/// A connector that returns [`RESPONSE`] without a connection.
#[derive(Debug)]
struct FixedResponse;

impl HttpConnector for FixedResponse {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let fixed = RESPONSE.with_borrow(Response::clone);
        let status = fixed.status.try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(fixed.body));
        if let Some(error) = fixed.error {
            // Some texts are not valid in a header.
            let _ = response.headers_mut().try_append("x-amzn-errortype", error);
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn client() -> Client {
    let config = aws_sdk_eks::Config::builder()
        .behavior_version_latest()
        .region(Region::from_static("eu-west-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "fuzz"))
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(http_client_fn(|_, _| SharedHttpConnector::new(FixedResponse)));
    Client::from_conf(config.build())
}

/// Parses the input.
fn parse_response(data: &[u8]) -> Option<Response> {
    let cut = data.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&data[..cut]).ok()?;
    let (status, error) = match head.split_once(' ') {
        Some((status, error)) => (status, Some(error.to_owned())),
        None => (head, None),
    };
    Some(Response {
        status: status.parse().ok().filter(|s| (100..600).contains(s))?,
        error,
        body: data[cut + 1..].to_vec(),
    })
}

fuzz_target!(|data: &[u8]| {
    let Some(response) = parse_response(data) else {
        return;
    };
    RESPONSE.set(response);
    let described =
        EKS.with(|(runtime, client)| runtime.block_on(describe_once(client, "shop", "eu-west-1")));
    match described {
        Ok(found) => {
            let paths = ("/dist/remote-buildkit", "/tmp/session.json");
            let authorities = with_authorities(&found.certificate_authority, "more");
            let config = with_plugin(
                &found.url,
                authorities.as_ref().unwrap_or(&found.certificate_authority),
                Path::new(paths.0),
                Path::new(paths.1),
            );
            let written = kubeconfig_text(&config).expect("JSON");
            let read = Kubeconfig::from_yaml(&written).expect("what is written can be read");
            assert_eq!(kubeconfig_text(&read).expect("JSON"), written);
        }
        Err(failed) => {
            let problem: &Problem = failed.error.downcast_ref().expect("an error with a remedy");
            assert!(!problem.what.is_empty() && !problem.remedy.is_empty());
        }
    }
});
