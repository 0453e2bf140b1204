//! Versions with known bugs, each with the reference of its fix.

use super::finding::{CheckStatus, Finding};

/// A bug of all versions before one.
pub struct KnownIssue {
    pub fixed_in: [u64; 3],
    /// A warning if builds work all the same.
    pub status: CheckStatus,
    pub what: &'static str,
}

/// Returns the finding for a version. `details` follows the version in the row. `issues` begins with the one that was fixed
/// last, so that the remedy names the version that fixes all. `how` says how to update.
pub fn evaluate(name: &str, version: &str, details: &str, issues: &[KnownIssue], how: &str) -> Finding {
    // It is unknown which fixes such a build has.
    let Some(number) = parse_version(version) else {
        return Finding::warning(
            format!("{name} {version} is not a release{details}"),
            format!("Use a release: the known bugs of this build cannot be determined. {how}"),
        );
    };
    let present: Vec<&KnownIssue> = issues.iter().filter(|issue| number < issue.fixed_in).collect();
    let Some(newest) = present.first() else {
        return Finding::ok(format!("{name} {version}{details}"));
    };
    let whats: Vec<&str> = present.iter().map(|issue| issue.what).collect();
    let [major, minor, patch] = newest.fixed_in;
    let finding = Finding::failed(
        format!("{name} {version}{details}. Known bugs: {}", whats.join("; ")),
        format!("Use {name} {major}.{minor}.{patch} or newer. {how}"),
    );
    if present.iter().any(|issue| issue.status == CheckStatus::Failed) {
        finding
    } else {
        finding.downgrade_failure()
    }
}

/// Parses `v0.36.1`, `0.36.1-desktop.1` or `v0.37.0-rc1`. A release candidate counts as its release.
pub fn parse_version(version: &str) -> Option<[u64; 3]> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['-', '+']).next()?.split('.').map(str::parse);
    let number = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    // 0.0.0 is the version of a Go build without one.
    (parts.next().is_none() && number != [0, 0, 0]).then_some(number)
}
