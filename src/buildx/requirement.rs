//! Decides whether a job uses the installed buildx, or a release that is installed for the job.

use super::known_issues::{VersionIssues, of_version};
use super::release::Release;
use crate::known_issues::parse_version;

/// The input `buildx-version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildxVersion {
    /// The installed one if it has no known bugs, or else the pinned release.
    Auto,
    /// The installed one.
    System,
    /// This version.
    Exact { version: [u64; 3], release: Release },
}

/// The buildx that is installed on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstalledBuildx {
    Missing,
    /// It does not run, with the reason.
    Broken(String),
    /// Its version, as it prints it.
    Version(String),
}

/// What to do with the installed buildx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildxDecision {
    Keep,
    /// Keep it although it has known bugs.
    KeepWithWarning(VersionIssues),
    /// Install a release for the job. `fallback` has the known bugs of the installed one, if builds work with it.
    Install {
        release: Release,
        fallback: Option<VersionIssues>,
    },
}

/// Decides which buildx the job uses.
pub fn decide(required: &BuildxVersion, installed: &InstalledBuildx) -> BuildxDecision {
    let issues = match installed {
        InstalledBuildx::Version(version) => of_version(version),
        InstalledBuildx::Missing | InstalledBuildx::Broken(_) => None,
    };
    match (required, installed) {
        (BuildxVersion::System, _) => issues.map_or(BuildxDecision::Keep, BuildxDecision::KeepWithWarning),
        (BuildxVersion::Exact { version, .. }, InstalledBuildx::Version(installed))
            if parse_version(installed) == Some(*version) =>
        {
            BuildxDecision::Keep
        }
        // A user who names a version does not get another one.
        (BuildxVersion::Exact { release, .. }, _) => BuildxDecision::Install {
            release: release.clone(),
            fallback: None,
        },
        (BuildxVersion::Auto, InstalledBuildx::Version(_)) if issues.is_none() => BuildxDecision::Keep,
        (BuildxVersion::Auto, _) => BuildxDecision::Install {
            release: Release::Pinned,
            fallback: issues.filter(|issues| !issues.breaks_builds),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decision in a word, and whether the installed buildx is the fallback.
    fn decided(required: &BuildxVersion, installed: &InstalledBuildx) -> (&'static str, bool) {
        match decide(required, installed) {
            BuildxDecision::Keep => ("keep", false),
            BuildxDecision::KeepWithWarning(_) => ("warn", false),
            BuildxDecision::Install { release, fallback } => {
                let word = if release == Release::Pinned {
                    "pinned"
                } else {
                    "other"
                };
                (word, fallback.is_some())
            }
        }
    }

    #[test]
    fn decisions() {
        let of = |version: &str| InstalledBuildx::Version(version.to_owned());
        let exact = BuildxVersion::Exact {
            version: [0, 38, 2],
            release: Release::Other {
                version: [0, 38, 2],
                sha256: "11".into(),
            },
        };
        for (installed, auto, system, exactly) in [
            (InstalledBuildx::Missing, ("pinned", false), "keep", "other"),
            (
                InstalledBuildx::Broken("exec format error".into()),
                ("pinned", false),
                "keep",
                "other",
            ),
            (of("v0.14.1"), ("pinned", false), "warn", "other"),
            (of("v0.15.0"), ("pinned", true), "warn", "other"),
            (of("v0.36.1"), ("pinned", true), "warn", "other"),
            (of("0.36.9-desktop.1"), ("pinned", true), "warn", "other"),
            (of("v0.37.0"), ("keep", false), "keep", "other"),
            (of("v0.38.2"), ("keep", false), "keep", "keep"),
            // Builds that are not a release are kept, because somebody had a reason to install one.
            (of("1d2c3b4"), ("keep", false), "keep", "other"),
            (of("v0.0.0+unknown"), ("keep", false), "keep", "other"),
        ] {
            assert_eq!(
                decided(&BuildxVersion::Auto, &installed),
                auto,
                "auto, {installed:?}"
            );
            assert_eq!(
                decided(&BuildxVersion::System, &installed),
                (system, false),
                "system, {installed:?}"
            );
            assert_eq!(
                decided(&exact, &installed),
                (exactly, false),
                "exact, {installed:?}"
            );
        }
    }
}
