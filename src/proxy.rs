//! The proxy that the environment configures. `HTTPS_PROXY` and `NO_PROXY` have the meaning that they have in Go,
//! because buildx and kubectl use the same variables later in the job
//! (<https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config>).

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

use crate::env;

/// Returns the proxy for a URL, with its user and password, or `None` if the URL is reached directly.
///
/// The result is passed to kube, because kube 5.0 compares `NO_PROXY` with the proxy's address instead of the
/// server's (kube-client, config/file_loader.rs), and does not start if the list has an empty entry.
pub fn for_url(url: &Uri) -> Option<String> {
    let first_set = |names: [&str; 2]| names.into_iter().find_map(env::get);
    let proxy = first_set([env::HTTPS_PROXY, "https_proxy"])?;
    let no_proxy = first_set([env::NO_PROXY, "no_proxy"]).unwrap_or_default();
    (url.scheme_str() == Some("https") && !exempt(url, &no_proxy)).then(|| with_scheme(proxy))
}

/// Adds `http://` to a proxy without a scheme, as curl and Go do.
fn with_scheme(proxy: String) -> String {
    if proxy.contains("://") {
        proxy
    } else {
        format!("http://{proxy}")
    }
}

/// Returns whether a URL is reached without a proxy. `list` is `NO_PROXY`.
fn exempt(url: &Uri, list: &str) -> bool {
    let host = unbracketed(url.host().unwrap_or_default());
    let port = url.port_u16().unwrap_or(443);
    // Go never uses a proxy for localhost.
    let is_localhost = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    is_localhost || list.split(',').any(|entry| covers(entry.trim(), host, port))
}

/// Returns whether an entry of `NO_PROXY` covers a host: `*`, an IP address, a network, or a name with its subdomains
/// (`.name`: only its subdomains). IP addresses and names may have a port.
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
    let (name, entry_port) = match entry.rsplit_once(':') {
        Some((name, port)) => (unbracketed(name), port.parse().ok()),
        None => (entry, None),
    };
    if name.is_empty() || entry_port.is_some_and(|entry_port: u16| entry_port != port) {
        return false;
    }
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    let name = name.strip_prefix('*').unwrap_or(&name);
    let suffix = if name.starts_with('.') {
        name.to_owned()
    } else {
        format!(".{name}")
    };
    host == name || host.parse::<IpAddr>().is_err() && host.ends_with(&suffix)
}

/// Returns the host of a URL without the brackets of an IPv6 address.
pub fn unbracketed(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values are the results of golang.org/x/net/http/httpproxy.
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
