//! What to do when an API server cannot be reached, as far as its address tells.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;

use crate::proxy;

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// The remedy for an API server that does not answer. Clones share the resolved address.
#[derive(Clone, Debug)]
pub(super) struct Reachability {
    /// The remedy for an endpoint whose access rules are known.
    limits: Option<String>,
    host: String,
    private_ip: Arc<OnceLock<Option<IpAddr>>>,
}

impl Reachability {
    pub(super) fn new(server: &Uri, limits: Option<String>) -> Self {
        let host = proxy::unbracketed(server.host().unwrap_or_default());
        Self {
            limits,
            host: host.to_owned(),
            private_ip: Arc::default(),
        }
    }

    /// Resolves the host once, unless the access rules of the endpoint are known.
    pub(super) async fn resolve(&self) {
        if self.limits.is_some() || self.private_ip.get().is_some() {
            return;
        }
        let found =
            tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((self.host.as_str(), 443))).await;
        let addresses = found.ok().and_then(Result::ok).into_iter().flatten();
        let private = addresses.map(|address| address.ip()).find(is_private);
        let _ = self.private_ip.set(private);
    }

    pub(super) fn remedy(&self) -> String {
        let host = &self.host;
        if let Some(limits) = &self.limits {
            return limits.clone();
        }
        if let Some(ip) = self.private_ip.get().copied().flatten() {
            return private_address(host, ip);
        }
        if is_loopback(host) {
            return format!(
                "Check that an API server, or a tunnel to one, listens on {host} of this machine."
            );
        }
        if is_eks(host) {
            return format!(
                "Check that this runner can reach {host}: a private EKS endpoint can be reached only from its VPC and \
                 peered networks."
            );
        }
        format!("Check that this runner can reach {host}, and that the API server runs.")
    }
}

fn private_address(host: &str, ip: IpAddr) -> String {
    let what = if host == ip.to_string() {
        format!("{ip} is a private address")
    } else {
        format!("{host} is {ip}, a private address")
    };
    format!(
        "{what}: it can be reached only from its own network and peered networks. Use a runner there, or check this \
         runner's VPN or routes."
    )
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Returns whether a host name is that of an EKS endpoint, in any partition.
fn is_eks(host: &str) -> bool {
    let ends = |domains: [&str; 2]| domains.into_iter().any(|domain| host.ends_with(domain));
    host.contains(".eks.") && ends([".amazonaws.com", ".amazonaws.com.cn"])
        // Of clusters with IPv6, since October 2024.
        || host.contains(".eks-cluster.") && ends([".api.aws", ".api.amazonwebservices.com.cn"])
}

/// Returns whether an address is private: RFC 1918, RFC 4193, or the shared address space of carriers (RFC 6598), which VPCs
/// use as well.
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
    fn the_remedy_follows_from_limits_or_address() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let remedy = |server: &str, limits: Option<&str>| {
            let reachability = Reachability::new(&server.parse().expect("a URI"), limits.map(str::to_owned));
            runtime
                .as_ref()
                .expect("a runtime")
                .block_on(reachability.resolve());
            reachability.remedy()
        };
        assert_eq!(
            remedy("https://10.0.0.1", Some("It is private.")),
            "It is private."
        );
        assert!(remedy("https://10.0.0.1:6443", None).starts_with("10.0.0.1 is a private address"));
        assert!(remedy("https://[fd00::1]:6443", None).starts_with("fd00::1 is a private address"));
        assert_eq!(
            remedy("https://127.0.0.1:6443", None),
            "Check that an API server, or a tunnel to one, listens on 127.0.0.1 of this machine."
        );
        assert_eq!(
            remedy("https://203.0.113.1", None),
            "Check that this runner can reach 203.0.113.1, and that the API server runs."
        );
        assert!(is_eks("ABC.gr7.eu-west-1.eks.amazonaws.com"));
        assert!(is_eks("abc.yl4.cn-north-1.eks.amazonaws.com.cn"));
        assert!(is_eks("abc.yl4.eks-cluster.eu-west-1.api.aws"));
        assert!(!is_eks("eks.example.com"));
    }
}
