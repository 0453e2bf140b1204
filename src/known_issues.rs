//! Bugs of buildx and BuildKit that matter here, each with the version that fixed it.

/// A bug of all versions before one.
pub struct KnownIssue {
    pub fixed_in: [u64; 3],
    /// Whether builds fail because of it.
    pub breaks_builds: bool,
    pub what: &'static str,
}

/// Parses `v0.36.1`, `0.36.1-desktop.1` or `v0.37.0-rc1`. A release candidate counts as its release.
pub fn parse_version(version: &str) -> Option<[u64; 3]> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['-', '+']).next()?.split('.').map(str::parse);
    let number = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    // 0.0.0 is the version of a Go build without one.
    (parts.next().is_none() && number != [0, 0, 0]).then_some(number)
}
