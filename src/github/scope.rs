//! The repository, organization or enterprise for which a machine is registered as a runner, at github.com or on an
//! Enterprise host.

use std::fmt;

use http::Uri;

/// The repository, organization or enterprise of a runner, and the API that registers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunnerScope {
    pub kind: ScopeKind,
    api: String,
}

/// The kinds of scope that GitHub registers runners for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeKind {
    Repository { owner: String, name: String },
    Organization(String),
    Enterprise(String),
}

impl RunnerScope {
    /// Parses the URL that a browser shows. The error names the URLs that are allowed.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let allowed = "the URL of a repository, an organization or an enterprise: https://github.com/OWNER/REPO, \
                       https://github.com/ORG, https://github.com/enterprises/NAME, or one on an Enterprise host";
        let url: Uri = url.parse().map_err(|_| allowed)?;
        let (Some(scheme), Some(authority), None) = (url.scheme_str(), url.authority(), url.query()) else {
            return Err(allowed);
        };
        if authority.as_str().contains('@') {
            return Err("a URL without user and password: credentials are read from a file");
        }
        // Without TLS, anyone on the network path could read the token.
        if !(scheme == "https" || scheme == "http" && is_loopback(authority.host())) {
            return Err("a URL that begins with https://");
        }
        let path = url.path().trim_matches('/');
        let path: Vec<&str> = path.split('/').collect();
        if !path.iter().all(|part| is_name(part)) {
            return Err(allowed);
        }
        let kind = match path[..] {
            ["enterprises"] => return Err(allowed),
            ["enterprises", name] => ScopeKind::Enterprise(name.into()),
            [owner, name] => ScopeKind::Repository {
                owner: owner.into(),
                name: name.strip_suffix(".git").unwrap_or(name).into(),
            },
            [name] => ScopeKind::Organization(name.into()),
            _ => return Err(allowed),
        };
        let host = authority.as_str().to_ascii_lowercase();
        let api = match host.as_str() {
            "github.com" | "www.github.com" => "https://api.github.com".into(),
            host if host.ends_with(".ghe.com") => format!("https://api.{host}"),
            host => format!("{scheme}://{host}/api/v3"),
        };
        Ok(Self { kind, api })
    }

    /// Returns the URL of the server's REST API.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Returns the API's path of the scope.
    pub(super) fn route(&self) -> String {
        match &self.kind {
            ScopeKind::Repository { owner, name } => format!("/repos/{owner}/{name}"),
            ScopeKind::Organization(name) => format!("/orgs/{name}"),
            ScopeKind::Enterprise(name) => format!("/enterprises/{name}"),
        }
    }
}

impl fmt::Display for RunnerScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ScopeKind::Repository { owner, name } => write!(f, "the repository {owner}/{name}"),
            ScopeKind::Organization(name) => write!(f, "the organization {name}"),
            ScopeKind::Enterprise(name) => write!(f, "the enterprise {name}"),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = crate::proxy::unbracketed(host).parse();
    host == "localhost" || ip.is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    !part.is_empty() && part != "." && part != ".." && part.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_urls() {
        for (url, route, api) in [
            (
                "https://github.com/acme/shop",
                "/repos/acme/shop",
                "https://api.github.com",
            ),
            (
                "https://github.com/acme/shop.git",
                "/repos/acme/shop",
                "https://api.github.com",
            ),
            ("https://GitHub.com/acme/", "/orgs/acme", "https://api.github.com"),
            (
                "https://github.com/enterprises/acme",
                "/enterprises/acme",
                "https://api.github.com",
            ),
            (
                "https://acme.ghe.com/shop",
                "/orgs/shop",
                "https://api.acme.ghe.com",
            ),
            (
                "https://git.acme.example/a/b",
                "/repos/a/b",
                "https://git.acme.example/api/v3",
            ),
            (
                "https://git.acme.example:8443/a",
                "/orgs/a",
                "https://git.acme.example:8443/api/v3",
            ),
            (
                "http://127.0.0.1:8080/a",
                "/orgs/a",
                "http://127.0.0.1:8080/api/v3",
            ),
        ] {
            let scope = RunnerScope::parse(url).expect(url);
            assert_eq!((scope.route().as_str(), scope.api()), (route, api), "{url}");
        }
    }

    #[test]
    fn the_error_of_an_invalid_url_names_the_allowed_ones() {
        for (url, expected) in [
            ("acme/shop", "the URL of"),
            ("https://github.com", "the URL of"),
            ("https://github.com/", "the URL of"),
            ("https://github.com/enterprises", "the URL of"),
            ("https://github.com/a/b/c", "the URL of"),
            ("https://github.com/a/b?c=d", "the URL of"),
            ("https://github.com/a/..", "the URL of"),
            ("https://github.com/a%2fb", "the URL of"),
            ("http://github.com/acme", "begins with https://"),
            ("git@github.com:acme/shop", "the URL of"),
            ("https://me:token@github.com/acme", "without user"),
            ("", "the URL of"),
        ] {
            let error = RunnerScope::parse(url).expect_err(url);
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
