//! The known bugs of buildx, by the version that it prints.

use crate::known_issues::{KnownIssue, parse_version};

/// The known bugs of buildx. The one that was fixed last comes first.
pub const KNOWN_ISSUES: [KnownIssue; 3] = [
    KnownIssue {
        fixed_in: [0, 37, 0],
        breaks_builds: false,
        what: "may send a build to a terminating pod (docker/buildx#3997)",
    },
    KnownIssue {
        fixed_in: [0, 36, 0],
        breaks_builds: false,
        what: "hangs forever when the connection to its pod is lost (docker/buildx#3966)",
    },
    // connect sets this option, which earlier versions reject.
    KnownIssue {
        fixed_in: [0, 15, 0],
        breaks_builds: true,
        what: "does not support the driver option timeout (docker/buildx#2492)",
    },
];

/// Returns whether the installed buildx is recent enough. Builds that are not a release are kept.
pub fn is_recent_enough(printed: &str) -> bool {
    parse_version(version(printed))
        .is_none_or(|number| KNOWN_ISSUES.iter().all(|issue| number >= issue.fixed_in))
}

/// Returns the known bugs of a version; `None` if there are none, or if it is not a release.
pub fn of_version(version: &str) -> Option<VersionIssues> {
    let number = parse_version(version)?;
    let present: Vec<&KnownIssue> = KNOWN_ISSUES
        .iter()
        .filter(|issue| number < issue.fixed_in)
        .collect();
    let whats: Vec<&str> = present.iter().map(|issue| issue.what).collect();
    (!present.is_empty()).then(|| VersionIssues {
        breaks_builds: present.iter().any(|issue| issue.breaks_builds),
        what: whats.join("; "),
    })
}

/// The known bugs of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionIssues {
    /// Whether builds fail because of one of them.
    pub breaks_builds: bool,
    /// All of them, after the words "this buildx".
    pub what: String,
}

/// Returns the version in the output of `buildx version`.
pub fn version(printed: &str) -> &str {
    printed.split_whitespace().nth(1).unwrap_or(printed.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildx_without_known_bugs_is_recent_enough() {
        for (printed, recent) in [
            ("github.com/docker/buildx v0.38.2 c1b6c6a", true),
            ("github.com/docker/buildx v0.37.0 c1b6c6a", true),
            ("github.com/docker/buildx v0.36.9 c1b6c6a", false),
            ("github.com/docker/buildx 0.13.1+ds1 0.13.1-0ubuntu3", false),
            ("github.com/docker/buildx 1d2c3b4", true),
        ] {
            assert_eq!(is_recent_enough(printed), recent, "{printed}");
        }
        assert!(is_recent_enough(&format!(
            "github.com/docker/buildx v{} x",
            super::super::release::VERSION
                .map(|part| part.to_string())
                .join(".")
        )));
    }
}
