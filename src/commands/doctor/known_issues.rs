//! The finding for a version that may have known bugs.

use super::finding::Finding;
use crate::known_issues::{KnownIssue, parse_version};

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
    if present.iter().any(|issue| issue.breaks_builds) {
        finding
    } else {
        finding.downgrade_failure()
    }
}
