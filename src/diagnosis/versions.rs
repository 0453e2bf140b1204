//! Versions of buildx and BuildKit with known bugs, each with the reference of its fix.

use super::{CheckStatus, Finding};

/// A bug of all versions before one.
struct KnownIssue {
    before: [u64; 3],
    /// A warning if builds work all the same.
    status: CheckStatus,
    what: &'static str,
}

/// The newest first, so that the remedy names the version that fixes all.
const BUILDX: [KnownIssue; 3] = [
    KnownIssue {
        before: [0, 37, 0],
        status: CheckStatus::Warning,
        what: "may send a build to a terminating pod (docker/buildx#3997)",
    },
    KnownIssue {
        before: [0, 36, 0],
        status: CheckStatus::Warning,
        what: "hangs forever when the connection to its pod is lost (docker/buildx#3966)",
    },
    // connect sets this option, which earlier versions reject.
    KnownIssue {
        before: [0, 15, 0],
        status: CheckStatus::Failed,
        what: "does not support the driver option timeout (docker/buildx#2492)",
    },
];

const BUILDKIT: [KnownIssue; 3] = [
    KnownIssue {
        before: [0, 28, 1],
        status: CheckStatus::Warning,
        what: "lets a frontend, or the URL of a Git context, access files outside of its directory (CVE-2026-33747, CVE-2026-33748)",
    },
    // It silently ignores unknown keys and uses its own defaults.
    KnownIssue {
        before: [0, 17, 0],
        status: CheckStatus::Warning,
        what: "ignores the garbage collection keys of this buildkitd.toml, and evicts cache mounts beyond 512 MB \
               (moby/buildkit#5359)",
    },
    KnownIssue {
        before: [0, 12, 5],
        status: CheckStatus::Warning,
        what: "lets a build remove files of its node (CVE-2024-23652)",
    },
];

/// Returns the row for the output of `buildx version`: `github.com/docker/buildx v0.38.2 c1b6c6ac…`.
pub fn buildx(printed: &str) -> Finding {
    let version = printed.split_whitespace().nth(1).unwrap_or(printed.trim());
    evaluate("buildx", version, &BUILDX, "Install it in the runner's image.")
}

/// Returns whether the installed buildx is recent enough. Builds that are not a release are kept.
pub fn is_recent_enough(printed: &str) -> bool {
    let version = printed.split_whitespace().nth(1).unwrap_or(printed.trim());
    number(version).is_none_or(|number| BUILDX.iter().all(|issue| number >= issue.before))
}

/// Returns the row for the version that a BuildKit reports: `v0.34.2`.
pub fn buildkit(version: &str) -> Finding {
    evaluate(
        "BuildKit",
        version,
        &BUILDKIT,
        "Unset `image`, or set it to a newer release, and set `deploy: always` once.",
    )
}

fn evaluate(name: &str, version: &str, issues: &[KnownIssue], how: &str) -> Finding {
    let found = format!("{name} {version}");
    // Not a release: which fixes it has is unknown.
    let Some(number) = number(version) else {
        return Finding::warning(
            format!("{found} is not a release"),
            format!("Use a release: the known bugs of this build cannot be determined. {how}"),
        );
    };
    let present: Vec<&KnownIssue> = issues.iter().filter(|issue| number < issue.before).collect();
    let Some(newest) = present.first() else {
        return Finding::ok(found);
    };
    let whats: Vec<&str> = present.iter().map(|issue| issue.what).collect();
    let [major, minor, patch] = newest.before;
    let finding = Finding::failed(
        format!("{found}: {}", whats.join("; ")),
        format!("Use {name} {major}.{minor}.{patch} or newer. {how}"),
    );
    if present.iter().any(|issue| issue.status == CheckStatus::Failed) {
        finding
    } else {
        finding.downgrade_failure()
    }
}

/// Parses `v0.36.1`, `0.36.1-desktop.1` or `v0.37.0-rc1`. A release candidate counts as its release.
fn number(version: &str) -> Option<[u64; 3]> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['-', '+']).next()?.split('.').map(str::parse);
    let number = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    // 0.0.0 is the version of a Go build without one.
    (parts.next().is_none() && number != [0, 0, 0]).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildx_without_known_bugs_is_recent_enough() {
        for (printed, stays) in [
            ("github.com/docker/buildx v0.38.2 c1b6c6a", true),
            ("github.com/docker/buildx v0.37.0 c1b6c6a", true),
            ("github.com/docker/buildx v0.36.9 c1b6c6a", false),
            ("github.com/docker/buildx 0.13.1+ds1 0.13.1-0ubuntu3", false),
            ("github.com/docker/buildx 1d2c3b4", true),
        ] {
            assert_eq!(is_recent_enough(printed), stays, "{printed}");
        }
        assert!(is_recent_enough(&format!(
            "github.com/docker/buildx v{} x",
            crate::buildx::release::VERSION
                .map(|part| part.to_string())
                .join(".")
        )));
    }

    #[test]
    fn known_bad_versions_of_buildx() {
        for (printed, state, words) in [
            (
                "github.com/docker/buildx v0.38.2 c1b6c6a",
                CheckStatus::Ok,
                "buildx v0.38.2",
            ),
            (
                "github.com/docker/buildx v0.37.0-rc1 c1b6c6a",
                CheckStatus::Ok,
                "",
            ),
            (
                "github.com/docker/buildx v0.36.1 c1b6c6a",
                CheckStatus::Warning,
                "#3997",
            ),
            (
                "github.com/docker/buildx v0.35.0 c1b6c6a",
                CheckStatus::Warning,
                "#3997); hangs",
            ),
            (
                "github.com/docker/buildx v0.14.1 c1b6c6a",
                CheckStatus::Failed,
                "#2492",
            ),
            (
                "github.com/docker/buildx v0.0.0+unknown",
                CheckStatus::Warning,
                "not a release",
            ),
            ("", CheckStatus::Warning, "not a release"),
        ] {
            let finding = buildx(printed);
            assert_eq!(finding.status, state, "{printed}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
        assert!(
            buildx("x v0.14.1")
                .remedy
                .starts_with("Use buildx 0.37.0 or newer.")
        );
    }

    #[test]
    fn known_bad_versions_of_buildkit() {
        for (version, state, words) in [
            ("v0.34.2", CheckStatus::Ok, ""),
            ("v0.28.0", CheckStatus::Warning, "CVE-2026-33747"),
            ("v0.16.0", CheckStatus::Warning, "#5359"),
            ("v0.12.4", CheckStatus::Warning, "CVE-2024-23652"),
            ("a1b2c3d.m", CheckStatus::Warning, "not a release"),
        ] {
            let finding = buildkit(version);
            assert_eq!(finding.status, state, "{version}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn the_default_image_has_no_known_bugs() {
        let (_, version) = crate::agent::DEFAULT_IMAGE.split_once(':').expect("a tag");
        assert_eq!(buildkit(version).status, CheckStatus::Ok);
    }
}
