//! The proxy of the environment, as the clients that come after us find theirs: buildx and kubectl look at
//! `HTTPS_PROXY` and `NO_PROXY` by Go's rules (<https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config>).

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

use crate::env;

/// The proxy in the way of an address, with its user and password, or none.
///
/// kube 5.0 compares `NO_PROXY` with the proxy's address instead of the server's (kube-client, config/file_loader.rs), and
/// does not start when the list has an empty entry. So it is told.
pub fn for_url(url: &Uri) -> Option<String> {
    let either = |names: [&str; 2]| names.into_iter().find_map(env::get);
    let proxy = either([env::HTTPS_PROXY, "https_proxy"])?;
    let except = either([env::NO_PROXY, "no_proxy"]).unwrap_or_default();
    (url.scheme_str() == Some("https") && !exempt(url, &except)).then(|| with_scheme(proxy))
}

/// curl and Go take an address without a scheme for that of an HTTP proxy.
fn with_scheme(proxy: String) -> String {
    if proxy.contains("://") {
        proxy
    } else {
        format!("http://{proxy}")
    }
}

fn exempt(url: &Uri, list: &str) -> bool {
    let host = unbracketed(url.host().unwrap_or_default());
    let port = url.port_u16().unwrap_or(443);
    // Go never asks a proxy for this machine.
    let own = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    own || list.split(',').any(|entry| covers(entry.trim(), host, port))
}

/// `*`, an address, a network, a name and what is below it (`.name`: only what is below it); each but the first two may
/// have a port.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        let network = entry.parse().is_ok_and(|network: IpNet| network.contains(&ip));
        if network || entry.parse() == Ok(ip) {
            return true;
        }
    }
    let (name, of_port) = match entry.rsplit_once(':') {
        Some((name, of_port)) => (unbracketed(name), of_port.parse().ok()),
        None => (entry, None),
    };
    if name.is_empty() || of_port.is_some_and(|of_port: u16| of_port != port) {
        return false;
    }
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    let name = name.strip_prefix('*').unwrap_or(&name);
    let below = if name.starts_with('.') {
        name.to_owned()
    } else {
        format!(".{name}")
    };
    host == name || host.parse::<IpAddr>().is_err() && host.ends_with(&below)
}

/// A host as a URL has it, without the brackets of IPv6.
pub fn unbracketed(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What golang.org/x/net/http/httpproxy answers to the same.
    #[test]
    fn exempt_is_what_go_exempts() {
        for (list, url, expected) in [
            ("", "https://10.0.0.1", false),
            ("*", "https://any.example", true),
            ("10.0.0.1", "https://10.0.0.1:6443", true),
            ("10.0.0.1", "https://10.0.0.11", false),
            ("10.0.0.1:6443", "https://10.0.0.1:6443", true),
            ("10.0.0.1:443", "https://10.0.0.1:6443", false),
            ("10.0.0.0/8,", "https://10.200.0.1:6443", true),
            ("0.0.0.0/0", "https://10.200.0.1", true),
            ("10.0.0.0/33", "https://10.0.0.1", false),
            ("10.0.0.0/8", "https://[a00::1]", false),
            ("fd00::/8", "https://[fd12::1]:6443", true),
            ("fd00::/8", "https://[fe12::1]", false),
            ("::/0", "https://[fe12::1]", true),
            ("fd00::1", "https://[fd00::1]:6443", true),
            ("[fd00::1]", "https://[fd00::1]:6443", false),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("[fd00::1]:443", "https://[fd00::1]:6443", false),
            (
                "eks.amazonaws.com",
                "https://ABC.gr7.eu-west-1.eks.amazonaws.com",
                true,
            ),
            ("eks.amazonaws.com", "https://eks.amazonaws.com", true),
            (".eks.amazonaws.com", "https://eks.amazonaws.com", false),
            ("*.eks.amazonaws.com", "https://abc.eks.amazonaws.com", true),
            ("*.eks.amazonaws.com", "https://eks.amazonaws.com", false),
            ("amazonaws.com", "https://notamazonaws.com", false),
            ("Example.com:443", "https://example.com", true),
            ("example.com:8443", "https://example.com", false),
            (" , ,a.example , b.example", "https://b.example", true),
            ("", "https://127.0.0.1:6443", true),
            ("", "https://[::1]:6443", true),
            ("", "https://localhost:6443", true),
        ] {
            assert_eq!(exempt(&url.parse().expect(url), list), expected, "{list} {url}");
        }
    }
}
