//! Of what a machine becomes a runner: a repository, an organization or an enterprise, at GitHub or at a server of one's
//! own.

use std::fmt;

use http::Uri;

/// It, and the server's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub kind: Kind,
    api: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Repository { owner: String, name: String },
    Organization(String),
    Enterprise(String),
}

impl Place {
    /// Of its address in a browser. The error is what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let allowed = "the address of a repository, an organization or an enterprise: https://github.com/OWNER/REPO, \
                       https://github.com/ORG, https://github.com/enterprises/NAME, or those of an Enterprise host";
        let url: Uri = url.parse().map_err(|_| allowed)?;
        let (Some(scheme), Some(authority), None) = (url.scheme_str(), url.authority(), url.query()) else {
            return Err(allowed);
        };
        if authority.as_str().contains('@') {
            return Err("without a user and a password: those are given in a file");
        }
        // The token would go in the clear.
        if !(scheme == "https" || scheme == "http" && is_loopback(authority.host())) {
            return Err("begins with https://");
        }
        let path = url.path().trim_matches('/');
        let path: Vec<&str> = path.split('/').collect();
        if !path.iter().all(|part| is_name(part)) {
            return Err(allowed);
        }
        let kind = match path[..] {
            ["enterprises"] => return Err(allowed),
            ["enterprises", name] => Kind::Enterprise(name.into()),
            [owner, name] => Kind::Repository {
                owner: owner.into(),
                name: name.strip_suffix(".git").unwrap_or(name).into(),
            },
            [name] => Kind::Organization(name.into()),
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

    /// The server's API.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Below which its runners are.
    pub(super) fn route(&self) -> String {
        match &self.kind {
            Kind::Repository { owner, name } => format!("/repos/{owner}/{name}"),
            Kind::Organization(name) => format!("/orgs/{name}"),
            Kind::Enterprise(name) => format!("/enterprises/{name}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Repository { owner, name } => write!(f, "the repository {owner}/{name}"),
            Kind::Organization(name) => write!(f, "the organization {name}"),
            Kind::Enterprise(name) => write!(f, "the enterprise {name}"),
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
    fn places_by_their_addresses() {
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
            let place = Place::parse(url).expect(url);
            assert_eq!((place.route().as_str(), place.api()), (route, api), "{url}");
        }
    }

    #[test]
    fn what_is_no_place_says_why() {
        for (url, says) in [
            ("acme/shop", "the address of"),
            ("https://github.com", "the address of"),
            ("https://github.com/", "the address of"),
            ("https://github.com/enterprises", "the address of"),
            ("https://github.com/a/b/c", "the address of"),
            ("https://github.com/a/b?c=d", "the address of"),
            ("https://github.com/a/..", "the address of"),
            ("https://github.com/a%2fb", "the address of"),
            ("http://github.com/acme", "begins with https://"),
            ("git@github.com:acme/shop", "the address of"),
            ("https://me:token@github.com/acme", "without a user"),
            ("", "the address of"),
        ] {
            let error = Place::parse(url).expect_err(url);
            assert!(error.contains(says), "{url}: {error}");
        }
    }
}
