//! Checks that buildx is installed, and its version.

use std::time::Duration;

use super::super::Doctor;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use super::super::known_issues;
use crate::buildx;

pub const CHECK: Check = Check {
    applies: |scope| scope.full,
    ..Check::new("buildx", CheckGroup::Runner)
};

const VERSION_TIMEOUT: Duration = Duration::from_secs(30);

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
        buildx::known_issues::version(printed),
        "",
        &buildx::known_issues::KNOWN_ISSUES,
        "Install it in the runner's image.",
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
    use super::*;

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
