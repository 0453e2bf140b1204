//! Versions that are known to be bad, each with the fix that it lacks.

use super::{CheckStatus, Finding};

/// Everything before a version lacks something.
struct KnownIssue {
    before: [u64; 3],
    /// Whether builds do without it.
    state: CheckStatus,
    what: &'static str,
}

/// The newest first, so that the remedy is the one that mends all.
const BUILDX: [KnownIssue; 3] = [
    KnownIssue {
        before: [0, 37, 0],
        state: CheckStatus::Warning,
        what: "may send a build to a terminating pod (docker/buildx#3997)",
    },
    KnownIssue {
        before: [0, 36, 0],
        state: CheckStatus::Warning,
        what: "hangs forever when the connection to its pod is lost (docker/buildx#3966)",
    },
    // How long a build waits for a pod is an option that connect sets, and an earlier one refuses.
    KnownIssue {
        before: [0, 15, 0],
        state: CheckStatus::Failed,
        what: "does not support the driver option `timeout` (docker/buildx#2492)",
    },
];

const BUILDKIT: [KnownIssue; 3] = [
    KnownIssue {
        before: [0, 28, 1],
        state: CheckStatus::Warning,
        what: "lets a frontend, or the URL of a Git context, access files outside of its directory (CVE-2026-33747, CVE-2026-33748)",
    },
    // Keys that it does not know it ignores without a word, and collects by its own defaults.
    KnownIssue {
        before: [0, 17, 0],
        state: CheckStatus::Warning,
        what: "ignores the garbage collection keys of this buildkitd.toml, and evicts cache mounts beyond 512 MB \
               (moby/buildkit#5359)",
    },
    KnownIssue {
        before: [0, 12, 5],
        state: CheckStatus::Warning,
        what: "lets a build remove files of its node (CVE-2024-23652)",
    },
];

/// What `buildx version` prints: `github.com/docker/buildx v0.38.2 c1b6c6ac…`.
pub fn buildx(printed: &str) -> Finding {
    let version = printed.split_whitespace().nth(1).unwrap_or(printed.trim());
    evaluate("buildx", version, &BUILDX, "Install it in the runner's image.")
}

/// Whether a buildx may stay. That of nobody's release may: its builder had a reason.
pub fn is_recent_enough(printed: &str) -> bool {
    let version = printed.split_whitespace().nth(1).unwrap_or(printed.trim());
    number(version).is_none_or(|number| BUILDX.iter().all(|lack| number >= lack.before))
}

/// What a daemon says of itself: `v0.34.2`.
pub fn buildkit(version: &str) -> Finding {
    evaluate(
        "BuildKit",
        version,
        &BUILDKIT,
        "Unset `image`, or set it to a newer release, and set `deploy: always` once.",
    )
}

fn evaluate(name: &str, version: &str, lacks: &[KnownIssue], how: &str) -> Finding {
    let found = format!("{name} {version}");
    // A build of nobody's release: it has what its builder gave it.
    let Some(number) = number(version) else {
        return Finding::warning(
            format!("{found} is not a release"),
            format!("Use a release: the known bugs of this build cannot be determined. {how}"),
        );
    };
    let lacking: Vec<&KnownIssue> = lacks.iter().filter(|lack| number < lack.before).collect();
    let Some(newest) = lacking.first() else {
        return Finding::ok(found);
    };
    let whats: Vec<&str> = lacking.iter().map(|lack| lack.what).collect();
    let [major, minor, patch] = newest.before;
    let finding = Finding::failed(
        format!("{found}: {}", whats.join("; ")),
        format!("Use {name} {major}.{minor}.{patch} or newer. {how}"),
    );
    if lacking.iter().any(|lack| lack.state == CheckStatus::Failed) {
        finding
    } else {
        finding.downgrade_failure()
    }
}

/// Of `v0.36.1`, `0.36.1-desktop.1` or `v0.37.0-rc1`: a candidate counts as what it is to become.
fn number(version: &str) -> Option<[u64; 3]> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['-', '+']).next()?.split('.').map(str::parse);
    let number = [parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?];
    // What Go calls a build without a version.
    (parts.next().is_none() && number != [0, 0, 0]).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildx_without_known_bugs_may_stay() {
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
            assert_eq!(finding.state, state, "{printed}");
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
            assert_eq!(finding.state, state, "{version}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn the_default_image_is_not_known_to_be_bad() {
        let (_, version) = crate::agent::DEFAULT_IMAGE.split_once(':').expect("a tag");
        assert_eq!(buildkit(version).state, CheckStatus::Ok);
    }
}
