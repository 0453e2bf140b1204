//! The results of the checks of `doctor`: a row for each check, as a table for people and as JSON for programs. Pure: the
//! requests are made in `commands::doctor`.

pub mod agent;
pub mod permissions;
pub mod storage;
mod table;
pub mod versions;

use std::time::Duration;

use serde::Serialize;

use crate::problem::Problem;

pub use table::{Table, json, skipped_row, verdict};

/// The status of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Ok,
    /// Builds work, but something should be changed.
    Warning,
    /// Builds do not work.
    Failed,
    /// Not checked, because an earlier check failed.
    Skipped,
}

/// What a check found, and what to do about it unless its status is ok or skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub status: CheckStatus,
    pub found: String,
    pub remedy: String,
}

impl Finding {
    pub fn ok(found: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Ok,
            found: found.into(),
            remedy: String::new(),
        }
    }

    pub fn warning(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Warning,
            found: found.into(),
            remedy: remedy.into(),
        }
    }

    pub fn failed(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Failed,
            ..Self::warning(found, remedy)
        }
    }

    pub fn skipped(why: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Skipped,
            found: why.into(),
            remedy: String::new(),
        }
    }

    /// Returns the finding with a failure as a warning, for what builds do not need.
    pub fn downgrade_failure(self) -> Self {
        match self.status {
            CheckStatus::Failed => Self {
                status: CheckStatus::Warning,
                ..self
            },
            _ => self,
        }
    }
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        Self::failed(problem.what, problem.remedy)
    }
}

impl From<anyhow::Error> for Finding {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Problem>() {
            Ok(problem) => problem.into(),
            Err(other) => Self::failed(
                format!("{other:#}"),
                "Run it again with debug logging (--verbose, or RUNNER_DEBUG=1 in a job), and report it if it persists.",
            ),
        }
    }
}

/// A row of the table: a check and its result.
#[derive(Debug, Clone)]
pub struct Check {
    pub name: String,
    pub finding: Finding,
    /// How long the check took; `None` if it needed no request of its own.
    pub took: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::agent::Drift;
    use super::storage::VolumeNeed;
    use super::*;
    use crate::agent::Spec;
    use crate::agent::state::Deployment;
    use crate::cluster::{ClaimInfo, DiskUsage, Lookup, StorageClassInfo};
    use crate::error_code::ErrorCode;

    fn print(rows: Vec<(&str, Finding)>) -> String {
        let table = Table::of(rows.iter().map(|(name, _)| *name));
        let checks = rows.into_iter().map(|(name, finding)| Check {
            name: name.to_owned(),
            finding,
            took: None,
        });
        let checks: Vec<Check> = checks.collect();
        let rows: Vec<String> = checks.iter().map(|check| table.row(check)).collect();
        let (Ok(sentence) | Err(sentence)) = verdict(&checks);
        format!("{}\n{sentence}", rows.join("\n"))
    }

    fn rbac(allowed: impl Fn(&str) -> bool) -> Vec<Finding> {
        let rules = permissions::required();
        let evaluate = |rule: &permissions::RequiredRule| {
            let allowed: Vec<bool> = rule.verbs.iter().map(|(verb, _)| allowed(verb)).collect();
            permissions::evaluate(rule, &allowed, "buildkit", false)
        };
        rules.iter().map(evaluate).collect()
    }

    fn deployment(replicas: i32) -> Deployment {
        let deployment = serde_json::json!({"spec": {"replicas": replicas, "selector": {}, "template": {}}});
        serde_json::from_value(deployment).expect("deployment")
    }

    fn claim(size: &str, phase: &str) -> Lookup<ClaimInfo> {
        Lookup::Found(ClaimInfo {
            name: "agent".into(),
            phase: phase.into(),
            class: Some("gp3".into()),
            size: Some(size.into()),
        })
    }

    fn disk(percent: u64) -> DiskUsage {
        DiskUsage {
            used: percent << 30,
            total: 100 << 30,
        }
    }

    fn milliseconds(number: u64) -> Vec<Duration> {
        vec![Duration::from_millis(number); 5]
    }

    /// The rows of a cluster on which all is well, as they are printed.
    #[test]
    fn rows_of_a_good_cluster() {
        let spec = Spec::example();
        let class = StorageClassInfo {
            name: "gp3".into(),
            provisioner: "ebs.csi.aws.com".into(),
            default: true,
            expands: true,
        };
        let (storage_class, _) = storage::class(None, &Lookup::Found(vec![class]), VolumeNeed::Has);
        let mut rows = vec![(
            "buildx",
            versions::buildx("github.com/docker/buildx v0.38.2 c1b6c6a"),
        )];
        rows.extend(rbac(|_| true).into_iter().map(|finding| ("rbac", finding)));
        rows.extend([
            ("storage-class", storage_class),
            (
                "csi-driver",
                storage::csi(
                    "ebs.csi.aws.com",
                    &Lookup::Found(()),
                    &Lookup::Found((3, 3)),
                    VolumeNeed::Has,
                ),
            ),
            ("agent", agent::serving(&spec, &deployment(1), &Drift::Nothing)),
            (
                "volume",
                agent::volume(&spec, true, Some("agent"), &claim("50Gi", "Bound")),
            ),
            ("buildkit", versions::buildkit("v0.34.2")),
            ("disk", agent::disk(disk(40))),
            ("exec", agent::round_trips(&milliseconds(40))),
        ]);
        insta::assert_snapshot!(print(rows));
    }

    /// Every kind of warning and failure, as it is printed.
    #[test]
    fn rows_of_a_bad_cluster() {
        let spec = Spec {
            storage_class: Some("io2".into()),
            ..Spec::example()
        };
        let forbidden = || Lookup::Forbidden("storageclasses is forbidden".into());
        let driver = |seen, nodes| storage::csi("ebs.csi.aws.com", &seen, &nodes, VolumeNeed::New);
        let class = |wanted, seen| storage::class(wanted, &seen, VolumeNeed::New).0;
        let serving = |replicas, drift| agent::serving(&Spec::example(), &deployment(replicas), &drift);
        let volume = |name, seen| agent::volume(&spec, false, name, &seen);
        let mut rows = vec![
            (
                "buildx",
                versions::buildx("github.com/docker/buildx v0.14.1 c1b6c6a"),
            ),
            ("buildx", versions::buildx("github.com/docker/buildx 1d2c3b4")),
            (
                "token",
                Problem::new(
                    ErrorCode::Unauthorized,
                    "The cluster answered 401.",
                    "Add an access entry.",
                )
                .into(),
            ),
        ];
        rows.extend(
            rbac(|verb| verb == "get")
                .into_iter()
                .map(|finding| ("rbac", finding)),
        );
        rows.extend([
            ("storage-class", class(Some("tape"), Lookup::NotFound)),
            ("storage-class", class(None, Lookup::Found(vec![]))),
            ("storage-class", class(None, forbidden())),
            ("csi-driver", driver(Lookup::NotFound, Lookup::NotFound)),
            ("csi-driver", driver(Lookup::Found(()), Lookup::Found((0, 3)))),
            ("agent", serving(2, Drift::Nothing)),
            ("agent", serving(1, Drift::NotOurs)),
            ("agent", serving(1, Drift::Fields(vec!["spec.template".into()]))),
            ("agent", serving(1, Drift::Updated { restarts: true })),
            ("volume", volume(None, Lookup::NotFound)),
            ("volume", volume(Some("agent"), Lookup::NotFound)),
            ("volume", volume(Some("agent"), claim("50Gi", "Pending"))),
            ("volume", volume(Some("agent"), claim("50Gi", "Bound"))),
            (
                "volume",
                volume(Some("agent"), Lookup::Forbidden("claims are forbidden".into())),
            ),
            ("volume", agent::volume_left(&spec, &Lookup::NotFound)),
            ("buildkit", versions::buildkit("v0.12.4")),
            ("disk", agent::disk(disk(95))),
            ("disk", agent::disk_unknown(true)),
            ("exec", agent::round_trips(&milliseconds(1500))),
        ]);
        let skipped = skipped_row(&["build".into(), "cache".into()], "skipped (requires exec)");
        insta::assert_snapshot!(format!("{}\n{skipped}", print(rows)));
    }
}
