//! The proxies that the environment configures: one rule for AWS, GitHub, downloads and the cluster. `HTTP_PROXY`,
//! `HTTPS_PROXY` and `NO_PROXY` have the meaning that they have in Go, because buildx and kubectl use the same variables
//! later in the job (<https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config>).
//!
//! The HTTP clients get the decision, not the variables, because their own rules differ from Go's. kube 5.0 compares
//! `NO_PROXY` with the proxy's address instead of the server's (kube-client, config/file_loader.rs), and does not start
//! if the list has an empty entry. hyper-util, which the AWS SDK uses as well, follows curl: `NO_PROXY` without ports,
//! `.name` also for the name itself, no exception for localhost, and `ALL_PROXY`.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::secret::{Secret, hide_user_info};
use crate::{env, trace};

/// The proxies of the environment, and the hosts that are reached without one.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    /// The proxy for `http` URLs.
    http: Option<Secret>,
    /// The proxy for `https` URLs.
    https: Option<Secret>,
    no_proxy: String,
    /// Whether this is a CGI program. A client's header `Proxy` is `HTTP_PROXY` there (<https://httpoxy.org>).
    is_cgi: bool,
}

impl ProxySettings {
    /// Reads the environment variables. As in Go, the names in upper case take precedence.
    pub fn from_env() -> Self {
        let first_set = |upper: &str| env::get(upper).or_else(|| env::get(&upper.to_ascii_lowercase()));
        Self {
            http: first_set(env::HTTP_PROXY).map(Secret::new),
            https: first_set(env::HTTPS_PROXY).map(Secret::new),
            no_proxy: first_set(env::NO_PROXY).unwrap_or_default(),
            is_cgi: env::get(env::REQUEST_METHOD).is_some(),
        }
    }

    /// Returns the proxy for a URL, or `None` if the URL is reached directly.
    pub fn for_url(&self, url: &Uri) -> Result<Option<ProxyUrl>, Problem> {
        let (variable, proxy) = match url.scheme_str() {
            Some("http") => (env::HTTP_PROXY, &self.http),
            Some("https") => (env::HTTPS_PROXY, &self.https),
            _ => return Ok(None),
        };
        let Some(proxy) = proxy else { return Ok(None) };
        if variable == env::HTTP_PROXY && self.is_cgi {
            return Err(Problem::new(
                ErrorCode::UnsupportedProxy,
                "Refused to use HTTP_PROXY, because REQUEST_METHOD is set: in a CGI program, the client chooses HTTP_PROXY.",
                "Unset REQUEST_METHOD or HTTP_PROXY.",
            ));
        }
        if exempt(url, &self.no_proxy) {
            return Ok(None);
        }
        let remedy = format!("Set {variable} to http://HOST:PORT, or add the server's host to NO_PROXY.");
        ProxyUrl::parse(&with_scheme(proxy.expose()), variable, &remedy).map(Some)
    }

    /// Returns every proxy that [`Self::for_url`] can return.
    pub fn proxies(&self) -> Vec<ProxyUrl> {
        let urls = [(env::HTTP_PROXY, &self.http), (env::HTTPS_PROXY, &self.https)].into_iter();
        urls.filter_map(|(variable, url)| {
            ProxyUrl::parse(&with_scheme(url.as_ref()?.expose()), variable, "").ok()
        })
        .collect()
    }
}

/// The URL of an HTTP proxy, with its user and password. Its debug output does not have them.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    url: Uri,
    /// Where it is configured.
    source: &'static str,
}

/// The source of a proxy that the kubeconfig has.
pub const KUBECONFIG_SOURCE: &str = "proxy-url in the kubeconfig";

impl ProxyUrl {
    /// Parses a URL. `source` is where it is configured. It is checked here because kube and the AWS SDK print the
    /// password of a proxy that they cannot use.
    pub fn parse(url: &str, source: &'static str, remedy: &str) -> Result<Self, Problem> {
        let (before, _) = url.rsplit_once('@').unwrap_or_default();
        let (_, user_info) = before.split_once("://").unwrap_or_default();
        // The URL would have another host, and a part of the password as its path.
        let is_encoded = !user_info.contains(['/', '?', '#']);
        let hint = match is_encoded {
            true => "",
            false => ": it has special characters that are not percent-encoded",
        };
        let parsed = url.parse::<Uri>().ok().filter(|_| is_encoded);
        let http =
            parsed.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
        http.map(|url| Self { url, source }).ok_or_else(|| {
            Problem::new(
                ErrorCode::UnsupportedProxy,
                format!(
                    "{source} is {}, which is not the URL of an HTTP proxy{hint}.",
                    redacted(url)
                ),
                remedy,
            )
        })
    }

    /// Returns the URL with its user and password. A review for leaks must check every use of this function.
    pub fn expose(&self) -> &Uri {
        &self.url
    }

    /// Returns the remedy for a proxy that does not connect to a host.
    pub fn remedy(&self, host: &str) -> String {
        if self.source == KUBECONFIG_SOURCE {
            return format!("Check that the proxy runs and allows {host}, or remove proxy-url.");
        }
        format!("Check that the proxy runs and allows {host}, or add {host} to NO_PROXY.")
    }

    /// Returns the remedy for a proxy that requires another user or password.
    pub fn user_remedy(&self) -> String {
        format!(
            "Correct the user and the password in {}: http://USER:PASSWORD@HOST:PORT, with special characters \
             percent-encoded.",
            self.source
        )
    }

    /// Returns the remedy for a proxy whose host name cannot be resolved.
    pub fn dns_remedy(&self) -> String {
        format!(
            "Check the spelling of the proxy's host in {}, and this machine's DNS (/etc/resolv.conf).",
            self.source
        )
    }
}

/// Prints the URL without its user and password, and where it is configured.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = redacted(&self.url.to_string());
        write!(f, "{} ({})", url.trim_end_matches('/'), self.source)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.url.to_string()))
    }
}

/// Returns the URL of a proxy without its secrets.
fn redacted(url: &str) -> String {
    match url.contains('@') {
        true => hide_user_info(url).into_owned(),
        false => trace::redacted(url),
    }
}

/// Returns the proxy of the environment for a URL, or `None` if the URL is reached directly.
pub fn for_url(url: &Uri) -> Result<Option<ProxyUrl>, Problem> {
    ProxySettings::from_env().for_url(url)
}

/// Adds `http://` to a proxy without a scheme, as curl and Go do.
fn with_scheme(proxy: &str) -> String {
    if proxy.contains("://") {
        proxy.to_owned()
    } else {
        format!("http://{proxy}")
    }
}

/// Returns whether a URL is reached without a proxy. `list` is `NO_PROXY`.
fn exempt(url: &Uri, list: &str) -> bool {
    let host = unbracketed(url.host().unwrap_or_default());
    let default_port = if url.scheme_str() == Some("http") { 80 } else { 443 };
    let port = url.port_u16().unwrap_or(default_port);
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
pub mod tests {
    use super::*;

    impl ProxySettings {
        /// Returns settings with these values of the variables.
        pub fn of(http: &str, https: &str, no_proxy: &str) -> Self {
            let proxy = |url: &str| (!url.is_empty()).then(|| Secret::new(url));
            Self {
                http: proxy(http),
                https: proxy(https),
                no_proxy: no_proxy.into(),
                is_cgi: false,
            }
        }
    }

    /// The settings of the cases below, and the URLs of their proxies.
    pub const HTTP: &str = "http://me:pass%40word@http.example:3128/";
    pub const HTTPS: &str = "http://me:pass%40word@[::1]:3129/";

    /// `NO_PROXY`, a URL, and its proxy: the cases in which the rules of kube, hyper-util and Go differ, and the addresses
    /// of credentials. Each client has a test that it follows them.
    pub const CASES: &[(&str, &str, Option<&str>)] = &[
        ("", "https://sts.eu-west-1.amazonaws.com/", Some(HTTPS)),
        ("", "http://sts.example/", Some(HTTP)),
        (".amazonaws.com", "https://sts.eu-west-1.amazonaws.com/", None),
        (".amazonaws.com", "https://amazonaws.com/", Some(HTTPS)),
        ("*.ghe.com", "https://api.acme.ghe.com/", None),
        ("10.0.0.1:443", "https://10.0.0.1/", None),
        ("10.0.0.1:443", "https://10.0.0.1:6443/", Some(HTTPS)),
        ("a.example:80", "http://a.example/", None),
        ("a.example:80", "https://a.example/", Some(HTTPS)),
        ("::1", "https://b.example/", Some(HTTPS)),
        ("", "https://localhost:6443/", None),
        ("", "http://127.0.0.1:4566/", None),
        ("", "http://169.254.169.254/latest/api/token", Some(HTTP)),
        ("169.254.0.0/16,", "http://169.254.169.254/latest/api/token", None),
    ];

    fn proxy(settings: &ProxySettings, url: &str) -> Option<String> {
        let proxy = settings.for_url(&url.parse().expect(url));
        proxy.expect(url).map(|proxy| proxy.expose().to_string())
    }

    #[test]
    fn proxies_are_those_of_go() {
        for (no_proxy, url, expected) in CASES {
            let settings = ProxySettings::of(HTTP, HTTPS, no_proxy);
            assert_eq!(proxy(&settings, url).as_deref(), *expected, "{no_proxy} {url}");
        }
        let none = ProxySettings::default();
        assert_eq!(proxy(&none, "https://a.example"), None);
        // Each scheme has its own proxy: the addresses of instance metadata and Pod Identity are http.
        let only_https = ProxySettings::of("", "proxy:3128", "");
        assert_eq!(
            proxy(&only_https, "https://a").as_deref(),
            Some("http://proxy:3128/")
        );
        assert_eq!(proxy(&only_https, "http://169.254.170.23/v1/credentials"), None);
        assert_eq!(only_https.proxies().len(), 1);
    }

    #[test]
    fn an_http_proxy_is_refused_in_a_cgi_program() {
        let settings = ProxySettings {
            is_cgi: true,
            ..ProxySettings::of(HTTP, HTTPS, "")
        };
        let error = settings.for_url(&Uri::from_static("http://a.example"));
        let error = error.expect_err("no proxy").to_string();
        assert!(error.contains("REQUEST_METHOD"), "{error}");
        assert_eq!(proxy(&settings, "https://a.example").as_deref(), Some(HTTPS));
    }

    #[test]
    fn an_unsupported_proxy_is_an_error_unless_the_host_is_exempt() {
        for url in [
            "socks5://me:word@proxy:1080",
            "http://me:word@",
            "me:word@",
            "http://me:word@a b",
            "http://me:pass/word@proxy:3128",
            "http://me:pass?word@proxy:3128",
            "http://me:pass#word@proxy:3128",
            "http://me:12/word@proxy:3128",
            "me:pass://word@proxy:3128",
        ] {
            let settings = ProxySettings::of("", url, "b.example");
            let error = settings.for_url(&Uri::from_static("https://a.example"));
            let error = error.expect_err(url).to_string();
            assert!(error.starts_with("Unsupported proxy: HTTPS_PROXY is "), "{error}");
            assert!(!error.contains("word") && !error.contains("me:"), "{error}");
            assert_eq!(proxy(&settings, "https://b.example"), None);
            assert!(settings.proxies().is_empty());
        }
    }

    #[test]
    fn debug_output_does_not_hold_the_password() {
        let settings = ProxySettings::of(HTTP, HTTPS, "");
        let text = format!("{settings:?} {:?}", settings.proxies());
        assert!(!text.contains("word") && !text.contains("me:"), "{text}");
        assert!(text.contains("[::1]:3129"), "{text}");
    }

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
            ("example.com:80", "http://example.com", true),
            ("example.com:443", "http://example.com", false),
        ] {
            assert_eq!(exempt(&url.parse().expect(url), list), expected, "{list} {url}");
        }
    }
}
