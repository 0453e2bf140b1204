//! Why an API server may not be reached, as far as its address tells.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;

use crate::proxy;

const WITHIN: Duration = Duration::from_secs(2);

/// What to do when there is no answer. Clones share what was found out.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    /// Who made the kubeconfig may know whom the endpoint is open to.
    told: Option<String>,
    host: String,
    found: Arc<OnceLock<Option<String>>>,
}

impl Reach {
    pub(super) fn new(server: &Uri, told: Option<String>) -> Self {
        let host = proxy::unbracketed(server.host().unwrap_or_default());
        Self {
            told,
            host: host.to_owned(),
            found: Arc::default(),
        }
    }

    /// Looks at the addresses once, where nobody told more.
    pub(super) async fn look(&self) {
        if self.told.is_some() || self.found.get().is_some() {
            return;
        }
        let found = tokio::time::timeout(WITHIN, tokio::net::lookup_host((self.host.as_str(), 443))).await;
        let addresses = found.ok().and_then(Result::ok).into_iter().flatten();
        let private = addresses.map(|address| address.ip()).find(is_private);
        let _ = self.found.set(private.map(|ip| private_address(&self.host, ip)));
    }

    pub(super) fn remedy(&self) -> String {
        let found = self.found.get().cloned().flatten();
        self.told.clone().or(found).unwrap_or_else(|| {
            "Check that this runner can reach that address: a private endpoint of EKS is reached only from its VPC and \
             what is peered with it."
                .to_owned()
        })
    }
}

fn private_address(host: &str, ip: IpAddr) -> String {
    let what = if host == ip.to_string() {
        format!("{ip} is a private address")
    } else {
        format!("{host} is {ip}, a private address")
    };
    format!(
        "{what}: it is reached only from its own network and what is peered with it. Take a runner there, or check the \
         VPN or the route of this one."
    )
}

/// RFC 1918, the shared space of carriers (RFC 6598), which VPCs use as well, and RFC 4193.
fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || (ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses() {
        for (ip, private) in [
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.0.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("203.0.113.1", false),
            ("127.0.0.1", false),
            ("fd00::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(&ip.parse().expect(ip)), private, "{ip}");
        }
    }

    #[test]
    fn who_told_more_is_believed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let remedy = |server: &str, told: Option<&str>| {
            let reach = Reach::new(&server.parse().expect("a URI"), told.map(str::to_owned));
            runtime.as_ref().expect("a runtime").block_on(reach.look());
            reach.remedy()
        };
        assert_eq!(
            remedy("https://10.0.0.1", Some("It is private.")),
            "It is private."
        );
        assert!(remedy("https://10.0.0.1:6443", None).starts_with("10.0.0.1 is a private address"));
        assert!(remedy("https://[fd00::1]:6443", None).starts_with("fd00::1 is a private address"));
        assert!(remedy("https://127.0.0.1:6443", None).starts_with("Check that"));
    }
}
