//! The remedy for an API server that cannot be reached, from its address and what EKS reports about its endpoint.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Uri;

use crate::endpoint_access::EndpointAccess;
use crate::proxy;

const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// The remedy for an API server that does not answer. Clones share the resolved address.
#[derive(Clone, Debug)]
pub(super) struct Reachability {
    access: EndpointAccess,
    host: String,
    private_ip: Arc<OnceLock<Option<IpAddr>>>,
}

impl Reachability {
    pub(super) fn new(server: &Uri, access: EndpointAccess) -> Self {
        let host = proxy::unbracketed(server.host().unwrap_or_default());
        Self {
            access,
            host: host.to_owned(),
            private_ip: Arc::default(),
        }
    }

    /// Resolves the host, once. Not needed if EKS reports that only some networks can reach the endpoint.
    pub(super) async fn resolve(&self) {
        if self.access.is_limited() || self.private_ip.get().is_some() {
            return;
        }
        let found =
            tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((self.host.as_str(), 443))).await;
        let addresses = found.ok().and_then(Result::ok).into_iter().flatten();
        let private = addresses.map(|address| address.ip()).find(is_private);
        let _ = self.private_ip.set(private);
    }

    /// Returns the host of the API server.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the remedy for a host name that cannot be resolved. A cluster's address in EKS is not the user's to change.
    pub(super) fn dns_remedy(&self) -> &'static str {
        match self.access {
            EndpointAccess::Unknown => {
                "Check the server's address in the kubeconfig, and this machine's DNS (/etc/resolv.conf)."
            }
            _ => "Check this machine's DNS (/etc/resolv.conf).",
        }
    }

    /// Returns the remedy for a server that does not answer.
    pub(super) fn remedy(&self) -> String {
        let host = &self.host;
        match &self.access {
            EndpointAccess::Private { cluster, region } => return private_endpoint(cluster, region),
            EndpointAccess::Restricted { cluster, cidrs, vpc } => {
                return restricted_endpoint(cluster, cidrs, *vpc);
            }
            EndpointAccess::Public | EndpointAccess::Unknown => {}
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

fn private_endpoint(cluster: &str, region: &str) -> String {
    format!(
        "Use a runner in the VPC of the cluster {cluster} or in a peered network, because the cluster's endpoint is private. \
         Or make it public for this runner: aws eks update-cluster-config --region {region} --name {cluster} \
         --resources-vpc-config endpointPublicAccess=true,publicAccessCidrs=ADDRESS_OF_THE_RUNNER/32"
    )
}

fn restricted_endpoint(cluster: &str, cidrs: &[String], vpc: bool) -> String {
    let inside = if vpc {
        ", or use a runner in its VPC or in a peered network"
    } else {
        ""
    };
    format!(
        "Add this runner's address to the publicAccessCidrs of the cluster {cluster}{inside}: its endpoint is public for \
         {} only.",
        cidrs.join(", ")
    )
}

fn private_address(host: &str, ip: IpAddr) -> String {
    let what = if host == ip.to_string() {
        format!("{ip} is a private address")
    } else {
        format!("{host} is {ip}, a private address")
    };
    format!(
        "Use a runner in the network of the API server or in a peered one, or check this runner's VPN or routes: {what}."
    )
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Returns whether a host name belongs to an EKS endpoint, in any partition.
fn is_eks(host: &str) -> bool {
    let ends = |domains: [&str; 2]| domains.into_iter().any(|domain| host.ends_with(domain));
    host.contains(".eks.") && ends([".amazonaws.com", ".amazonaws.com.cn"])
        // Clusters with IPv6, since October 2024.
        || host.contains(".eks-cluster.") && ends([".api.aws", ".api.amazonwebservices.com.cn"])
}

/// Returns whether an address is private: RFC 1918, RFC 4193, or the shared address space of carriers (RFC 6598), which
/// VPCs use as well.
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
    fn remedies_by_access_and_address() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let remedy = |server: &str, access: EndpointAccess| {
            let reachability = Reachability::new(&server.parse().expect("a URI"), access);
            runtime
                .as_ref()
                .expect("a runtime")
                .block_on(reachability.resolve());
            reachability.remedy()
        };
        let unknown = |server: &str| remedy(server, EndpointAccess::Unknown);
        let restricted = |cidrs: &[&str], vpc: bool| {
            let access = EndpointAccess::Restricted {
                cluster: "shop".into(),
                cidrs: cidrs.iter().map(ToString::to_string).collect(),
                vpc,
            };
            remedy("https://10.0.0.1", access)
        };
        let private = EndpointAccess::Private {
            cluster: "shop".into(),
            region: "eu-west-1".into(),
        };
        let remedies = [
            remedy("https://10.0.0.1", private),
            restricted(&["203.0.113.0/24", "2001:db8::/32"], false),
            restricted(&["203.0.113.0/24"], true),
            remedy("https://10.0.0.1:6443", EndpointAccess::Public),
            unknown("https://10.0.0.1:6443"),
            unknown("https://[fd00::1]:6443"),
            unknown("https://127.0.0.1:6443"),
            unknown("https://203.0.113.1"),
        ];
        insta::assert_snapshot!(remedies.join("\n\n"));
    }

    #[test]
    fn hosts_of_eks_endpoints() {
        assert!(is_eks("ABC.gr7.eu-west-1.eks.amazonaws.com"));
        assert!(is_eks("abc.yl4.cn-north-1.eks.amazonaws.com.cn"));
        assert!(is_eks("abc.yl4.eks-cluster.eu-west-1.api.aws"));
        assert!(!is_eks("eks.example.com"));
    }
}
