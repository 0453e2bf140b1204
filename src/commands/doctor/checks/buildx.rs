//! Checks that buildx is installed, and its version.

use std::time::Duration;

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::{CheckStatus, Finding};
use super::super::known_issues::{self, KnownIssue, parse_version};
use crate::buildx;

pub const CHECK: Check = Check {
    applies: |scope| scope.full,
    ..Check::new("buildx", CheckGroup::Runner)
};

const VERSION_TIMEOUT: Duration = Duration::from_secs(30);

/// The one that was fixed last comes first.
const ISSUES: [KnownIssue; 3] = [
    KnownIssue {
        fixed_in: [0, 37, 0],
        status: CheckStatus::Warning,
        what: "may send a build to a terminating pod (docker/buildx#3997)",
    },
    KnownIssue {
        fixed_in: [0, 36, 0],
        status: CheckStatus::Warning,
        what: "hangs forever when the connection to its pod is lost (docker/buildx#3966)",
    },
    // connect sets this option, which earlier versions reject.
    KnownIssue {
        fixed_in: [0, 15, 0],
        status: CheckStatus::Failed,
        what: "does not support the driver option timeout (docker/buildx#2492)",
    },
];

/// Runs `buildx version`.
pub async fn run(doctor: &Doctor) -> anyhow::Result<(Finding, ())> {
    buildx::check_installed()?;
    let version = tokio::time::timeout(VERSION_TIMEOUT, buildx::version(&doctor.job_state.dir)).await;
    let version = version.map_err(|_| {
        anyhow::anyhow!(
            "buildx version did not finish within {} s",
            VERSION_TIMEOUT.as_secs()
        )
    })??;
    Ok((evaluate(&version), ()))
}

/// Returns the finding for the output of `buildx version`: `github.com/docker/buildx v0.38.2 c1b6c6ac…`.
pub fn evaluate(printed: &str) -> Finding {
    known_issues::evaluate(
        "buildx",
        version(printed),
        "",
        &ISSUES,
        "Install it in the runner's image.",
    )
}

/// Returns whether the installed buildx is recent enough. Builds that are not a release are kept.
pub fn is_recent_enough(printed: &str) -> bool {
    parse_version(version(printed)).is_none_or(|number| ISSUES.iter().all(|issue| number >= issue.fixed_in))
}

/// Returns the version in the output of `buildx version`.
fn version(printed: &str) -> &str {
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
            crate::buildx::release::VERSION
                .map(|part| part.to_string())
                .join(".")
        )));
    }

    #[test]
    fn known_bad_versions_of_buildx() {
        for (printed, status, words) in [
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
            let finding = evaluate(printed);
            assert_eq!(finding.status, status, "{printed}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
        assert!(
            evaluate("x v0.14.1")
                .remedy
                .starts_with("Use buildx 0.37.0 or newer.")
        );
    }
}
