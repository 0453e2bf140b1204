//! The input `registry-mirrors`, and the tables of buildkitd.toml for it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The mirrors of each registry, in the order in which BuildKit tries them, and the scheme of each host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    mirrors: Vec<(String, String)>,
    plain_http: BTreeMap<String, bool>,
}

/// The table `[registry."NAME"]`. The scheme of a mirror is in the table of its own host (moby/buildkit,
/// util/resolver/resolver.go, `NewRegistryConfig`).
#[derive(Debug, Default, Serialize)]
pub(super) struct RegistryTable {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<bool>,
}

const ALLOWED: &str = "an entry is [REGISTRY=]MIRROR, where REGISTRY is host[:port] (docker.io when left out) and MIRROR is \
                       [http://|https://]host[:port][/path]";

/// An entry that is not a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorError {
    /// The number of the entry, from 1; `None` if it is the only one.
    pub entry: Option<usize>,
    pub kind: MirrorErrorKind,
}

/// Why an entry is not a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorErrorKind {
    InvalidHost(String),
    InvalidPath(String),
    /// The scheme is neither http nor https.
    UnknownScheme(String),
    /// A host has both schemes, in this entry and an earlier one.
    TwoSchemes(String),
    /// The entry contains `@`, so perhaps a password, which must not be shown.
    AtSign,
}

impl fmt::Display for MirrorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry}: ")?;
        }
        write!(f, "{}; {ALLOWED}", self.kind)
    }
}

impl fmt::Display for MirrorErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidHost(host) => write!(f, "`{host}` is not host[:port]"),
            Self::InvalidPath(path) => write!(f, "`{path}` is not a path"),
            Self::UnknownScheme(scheme) => write!(f, "`{scheme}` is neither http nor https"),
            Self::TwoSchemes(host) => write!(f, "{host} is both http and https"),
            Self::AtSign => f.write_str("a mirror cannot have a user, a password or a digest"),
        }
    }
}

impl std::error::Error for MirrorError {}

impl Mirrors {
    /// Parses entries `REGISTRY=MIRROR`, separated by commas or lines. MIRROR alone is a mirror of docker.io, as in Docker's
    /// `registry-mirrors`.
    pub fn parse(text: &str) -> Result<Self, MirrorError> {
        let mut all = Self::default();
        let entries = text.split([',', '\n']).map(str::trim);
        let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
        let error = |index: usize, kind| MirrorError {
            entry: (entries.len() > 1).then_some(index + 1),
            kind,
        };
        // First of all, because a password may contain a comma: an error of another entry would show a part of it.
        if let Some(index) = entries.iter().position(|entry| entry.contains('@')) {
            return Err(error(index, MirrorErrorKind::AtSign));
        }
        for (index, entry) in entries.iter().enumerate() {
            all.add(entry).map_err(|kind| error(index, kind))?;
        }
        Ok(all)
    }

    /// Adds an entry.
    fn add(&mut self, entry: &str) -> Result<(), MirrorErrorKind> {
        let (registry, mirror) = entry.split_once('=').unwrap_or(("docker.io", entry));
        let (registry, mirror) = (registry.trim(), mirror.trim());
        check_host(registry)?;
        let (plain_http, address) = match mirror.split_once("://") {
            Some(("http", address)) => (Some(true), address),
            Some(("https", address)) => (Some(false), address),
            Some((scheme, _)) => return Err(MirrorErrorKind::UnknownScheme(scheme.to_owned())),
            None => (None, mirror),
        };
        let address = address.trim_end_matches('/');
        let (host, path) = address.split_once('/').unwrap_or((address, ""));
        check_host(host)?;
        let segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.chars().all(is_path);
        if !path.is_empty() && !path.split('/').all(segment) {
            return Err(MirrorErrorKind::InvalidPath(path.to_owned()));
        }
        if let Some(plain_http) = plain_http {
            let known = self.plain_http.insert(host.to_owned(), plain_http);
            if known.is_some_and(|known| known != plain_http) {
                return Err(MirrorErrorKind::TwoSchemes(host.to_owned()));
            }
        }
        let mirror = (registry.to_owned(), address.to_owned());
        if !self.mirrors.contains(&mirror) {
            self.mirrors.push(mirror);
        }
        Ok(())
    }

    /// Returns the tables by the names of their registries.
    pub(super) fn registries(&self) -> BTreeMap<&str, RegistryTable> {
        let mut registries: BTreeMap<&str, RegistryTable> = BTreeMap::new();
        for (registry, mirror) in &self.mirrors {
            let registry = registries.entry(registry).or_default();
            registry.mirrors.push(mirror.clone());
        }
        for (host, plain_http) in &self.plain_http {
            // BuildKit uses https by default, except for a registry on localhost.
            if *plain_http || is_local(host) {
                registries.entry(host).or_default().http = Some(*plain_http);
            }
        }
        registries
    }
}

fn is_local(host: &str) -> bool {
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.starts_with("127.") || host.starts_with("[::1]")
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

/// Checks a name or address, with or without a port.
fn check_host(host: &str) -> Result<(), MirrorErrorKind> {
    let invalid = || MirrorErrorKind::InvalidHost(host.to_owned());
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(invalid)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| invalid())?;
            ("v6", port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let label = |l: &str| {
        !l.is_empty()
            && l.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let is_port_valid = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|p| p.parse::<u16>().is_ok_and(|p| p > 0) && !p.starts_with('+'));
    if name.split('.').all(label) && is_port_valid {
        Ok(())
    } else {
        Err(invalid())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_become_tables() {
        let text = "mirror.corp\nghcr.io=http://cache.corp:5000/ghcr, quay.io:443=https://localhost:5000/q/,\n\
                    docker.io=http://cache.corp:5000, mirror.corp, ghcr.io = [fd00::1]:80";
        let mirrors = Mirrors::parse(text).expect("valid");
        insta::assert_snapshot!(toml::to_string(&mirrors.registries()).expect("toml"), @r#"
        ["cache.corp:5000"]
        http = true

        ["docker.io"]
        mirrors = ["mirror.corp", "cache.corp:5000"]

        ["ghcr.io"]
        mirrors = ["cache.corp:5000/ghcr", "[fd00::1]:80"]

        ["localhost:5000"]
        http = false

        ["quay.io:443"]
        mirrors = ["localhost:5000/q"]
        "#);
    }

    #[test]
    fn an_empty_text_has_no_mirror() {
        assert_eq!(Mirrors::parse(" ,\n\n").expect("valid"), Mirrors::default());
    }

    #[test]
    fn errors_name_the_entry() {
        for (text, reason) in [
            ("ok.corp,ftp://m.corp", "entry 2: `ftp` is neither http nor https"),
            ("ok.corp,,\n\na.corp,m.corp/y z", "entry 3: `y z` is not a path"),
            ("docker.io=", "`` is not host[:port]"),
            ("=m.corp", "`` is not host[:port]"),
            (
                "docker.io/library=m.corp",
                "`docker.io/library` is not host[:port]",
            ),
            (
                "http://u:p@m.corp",
                "a mirror cannot have a user, a password or a digest",
            ),
            (
                "ok.corp,quay.io=u:p@m.corp",
                "entry 2: a mirror cannot have a user, a password or a digest",
            ),
            ("m.corp:0", "`m.corp:0` is not host[:port]"),
            ("m.corp:99999", "`m.corp:99999` is not host[:port]"),
            ("[fd00::1", "`[fd00::1` is not host[:port]"),
            ("m.corp//x", "`/x` is not a path"),
            ("m.corp/../x", "`../x` is not a path"),
            ("m.corp/x?y", "`x?y` is not a path"),
            ("a.corp b.corp", "`a.corp b.corp` is not host[:port]"),
            (
                "http://m.corp,https://m.corp/x",
                "entry 2: m.corp is both http and https",
            ),
        ] {
            let error = Mirrors::parse(text).expect_err(text).to_string();
            assert!(
                error.starts_with(reason) && error.ends_with(ALLOWED),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_rejected(text in "\\PC*|[a-z.:/=,\n\\[\\]]{0,40}") {
            if let Ok(mirrors) = Mirrors::parse(&text) {
                prop_assert!(toml::to_string(&mirrors.registries()).is_ok());
            }
        }
    }
}
