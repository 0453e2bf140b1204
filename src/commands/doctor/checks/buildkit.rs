//! Checks that BuildKit responds, its architecture and its version.

use super::super::agents::Agent;
use super::super::check::{Check, CheckGroup};
use super::super::finding::Finding;
use super::super::known_issues;
use crate::cluster::{Cluster, DaemonStatus};
use crate::commands::agent_checks;
use crate::known_issues::KnownIssue;

pub const CHECK: Check = Check::new("buildkit", CheckGroup::Agent);

/// The one that was fixed last comes first.
const ISSUES: [KnownIssue; 3] = [
    KnownIssue {
        fixed_in: [0, 28, 1],
        breaks_builds: false,
        what: "lets a frontend, or the URL of a Git context, access files outside of its directory (CVE-2026-33747, CVE-2026-33748)",
    },
    // It silently ignores unknown keys and uses its own defaults.
    KnownIssue {
        fixed_in: [0, 17, 0],
        breaks_builds: false,
        what: "ignores the garbage collection keys of this buildkitd.toml, and evicts cache mounts beyond 512 MB \
               (moby/buildkit#5359)",
    },
    KnownIssue {
        fixed_in: [0, 12, 5],
        breaks_builds: false,
        what: "lets a build remove files of its node (CVE-2024-23652)",
    },
];

/// Asks the BuildKit of the agent. Returns its answer.
pub async fn run(cluster: &Cluster, agent: &Agent) -> anyhow::Result<(Finding, DaemonStatus)> {
    let status = cluster.probe(&agent.spec.name).await?;
    let status = agent_checks::check_native_arch(&agent.spec, &agent.group, status)?;
    Ok((evaluate(&status), status))
}

/// Returns the finding for a BuildKit that responds. Its version is a release tag, such as `v0.34.2`.
pub fn evaluate(status: &DaemonStatus) -> Finding {
    let details = format!(
        ", in the pod {}; platforms: {}",
        status.pod,
        status.buildkit.platforms.join(", ")
    );
    known_issues::evaluate(
        "BuildKit",
        &status.buildkit.version,
        &details,
        &ISSUES,
        "Unset `image`, or set it to a newer release, and set `deploy: always` once.",
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::CheckStatus;
    use super::*;

    #[test]
    fn the_row_names_the_pod_and_its_platforms() {
        assert_eq!(
            evaluate(&DaemonStatus::example("v0.34.2")),
            Finding::ok(
                "BuildKit v0.34.2, in the pod remote-buildkit-agent-7d4b9c-x2x8k; platforms: linux/amd64, linux/386"
            )
        );
    }

    #[test]
    fn known_bad_versions_of_buildkit() {
        for (version, expected, words) in [
            ("v0.34.2", CheckStatus::Ok, ""),
            ("v0.28.0", CheckStatus::Warning, "CVE-2026-33747"),
            ("v0.16.0", CheckStatus::Warning, "#5359"),
            ("v0.12.4", CheckStatus::Warning, "CVE-2024-23652"),
            ("a1b2c3d.m", CheckStatus::Warning, "not a release"),
        ] {
            let finding = evaluate(&DaemonStatus::example(version));
            assert_eq!(finding.status, expected, "{version}");
            assert!(finding.found.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn the_default_image_has_no_known_bugs() {
        let (_, version) = crate::agent::DEFAULT_IMAGE.split_once(':').expect("a tag");
        assert_eq!(evaluate(&DaemonStatus::example(version)).status, CheckStatus::Ok);
    }
}
