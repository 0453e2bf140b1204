//! Runs the checks and collects their results.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::plan::{CheckGroup, Planned};
use crate::cli;
use crate::diagnosis::{Check, CheckStatus, Finding, Table, skipped_row};
use crate::report::say;

/// Collects the rows in the order in which the checks run. Clones share the rows, so that a caller which interrupts a check
/// has the rows of the earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Checks(Arc<Mutex<Rows>>);

#[derive(Debug)]
struct Rows {
    planned: Vec<Planned>,
    checks: Vec<Check>,
    /// The check that runs, and since when.
    running: Option<(String, Instant)>,
    /// The table, if each row is printed as soon as it is known.
    printed: Option<Table>,
}

impl Checks {
    /// Returns an empty collection. With `printed`, each row is printed as soon as it is known.
    pub(super) fn new(planned: Vec<Planned>, printed: bool) -> Self {
        let table = Table::of(planned.iter().map(|planned| planned.name.as_str()));
        Self(Arc::new(Mutex::new(Rows {
            planned,
            checks: vec![],
            running: None,
            printed: printed.then_some(table),
        })))
    }

    /// Runs a check and records its result. Returns what later checks need, or `None` if it failed.
    pub(super) async fn run<T>(
        &self,
        name: &str,
        check: impl Future<Output = anyhow::Result<(Finding, T)>>,
    ) -> Option<T> {
        let began = Instant::now();
        self.with(|rows| rows.running = Some((name.to_owned(), began)));
        let (finding, value) = match check.await {
            Ok((finding, value)) => (finding, Some(value)),
            Err(error) => (error.into(), None),
        };
        self.with(|rows| {
            rows.running = None;
            rows.add(name, finding, Some(began));
        });
        value
    }

    /// Records a result that needed no check of its own.
    pub(super) fn record(&self, name: &str, finding: Finding) {
        self.with(|rows| rows.add(name, finding, None));
    }

    /// Records these checks as skipped, except for those that have a result.
    pub(super) fn skip(&self, names: &[String]) {
        self.with(|rows| rows.skip(names));
    }

    /// Ends the checks: the running one failed for this reason, and the remaining ones are skipped.
    pub(super) fn finish(&self, why: &str) {
        self.with(|rows| {
            if let Some((name, began)) = rows.running.take() {
                let remedy = "Check what this runner can reach.";
                rows.add(&name, Finding::failed(why, remedy), Some(began));
            }
            let names: Vec<String> = rows.planned.iter().map(|planned| planned.name.clone()).collect();
            rows.skip(&names);
        });
    }

    /// Returns the rows so far.
    pub(super) fn rows(&self) -> Vec<Check> {
        self.with(|rows| rows.checks.clone())
    }

    /// Returns the rows with one of the statuses `shown`, from the groups that have a row with `status`.
    pub(super) fn rows_of_groups(&self, status: CheckStatus, shown: &[CheckStatus]) -> Vec<Check> {
        self.with(|rows| {
            let group = |check: &Check| -> Option<CheckGroup> {
                let planned = rows.planned.iter().find(|planned| planned.name == check.name);
                planned.map(|planned| planned.group)
            };
            let with_status = rows.checks.iter().filter(|check| check.finding.status == status);
            let groups: Vec<_> = with_status.map(group).collect();
            let related = rows.checks.iter().filter(|check| groups.contains(&group(check)));
            related
                .filter(|check| shown.contains(&check.finding.status))
                .cloned()
                .collect()
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        // The lock is poisoned only by a panic elsewhere, which is reported; the rows are complete.
        let mut rows = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut rows)
    }
}

impl Rows {
    fn add(&mut self, name: &str, finding: Finding, began: Option<Instant>) {
        let check = Check {
            name: name.to_owned(),
            finding,
            took: began.map(|began| began.elapsed()),
        };
        if let Some(table) = self.printed {
            say(&cli::for_reader(&table.row(&check)));
        }
        self.checks.push(check);
    }

    fn skip(&mut self, names: &[String]) {
        let failed = self
            .checks
            .iter()
            .rfind(|check| check.finding.status == CheckStatus::Failed);
        let why = match failed {
            Some(check) => format!("skipped (requires {})", check.name),
            None => "skipped".to_owned(),
        };
        let known = |name: &&String| self.checks.iter().any(|check| check.name == **name);
        let skipped: Vec<String> = names.iter().filter(|name| !known(name)).cloned().collect();
        if self.printed.is_some() && !skipped.is_empty() {
            say(&skipped_row(&skipped, &why));
        }
        self.checks.extend(skipped.into_iter().map(|name| Check {
            name,
            finding: Finding::skipped(why.clone()),
            took: None,
        }));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::plan;
    use super::*;

    fn checks() -> Checks {
        Checks::new(plan::without_inputs(), false)
    }

    fn of(checks: &Checks, name: &str) -> Finding {
        let check = checks.rows().into_iter().find(|check| check.name == name);
        check.expect(name).finding
    }

    #[test]
    fn checks_after_a_failure_are_skipped_and_name_what_they_require() {
        let checks = checks();
        checks.record(plan::IDENTITY, Finding::ok("ci"));
        checks.record(plan::CLUSTER, Finding::failed("denied", "Allow it."));
        checks.finish("");
        let rows = checks.rows();
        let names: Vec<&str> = rows.iter().map(|check| check.name.as_str()).collect();
        // Each once.
        assert_eq!(names.len(), plan::without_inputs().len());
        assert!(names.ends_with(&["agent", "volume", "buildkit", "disk", "exec", "build", "cache"]));
        assert_eq!(
            of(&checks, plan::TOKEN),
            Finding::skipped("skipped (requires cluster)")
        );
    }

    #[test]
    fn an_interrupted_check_has_failed() {
        let checks = checks();
        let check = checks.run::<()>(plan::TOKEN, std::future::pending());
        assert!(check.now_or_never().is_none());
        checks.finish("no response");
        let token = of(&checks, plan::TOKEN);
        assert_eq!(
            (token.status, token.found.as_str()),
            (CheckStatus::Failed, "no response")
        );
        assert_eq!(of(&checks, plan::BUILD).found, "skipped (requires token)");
    }

    #[test]
    fn a_failed_group_shows_its_failed_and_good_rows() {
        let checks = checks();
        checks.record(plan::IDENTITY, Finding::ok("ci"));
        checks.record(plan::TOKEN, Finding::ok("taken"));
        checks.record(&plan::rbac("pods"), Finding::failed("denied: list", "Bind it."));
        checks.record(
            &plan::rbac("events"),
            Finding::warning("denied: watch", "Bind it."),
        );
        let rows = checks.rows_of_groups(CheckStatus::Failed, &[CheckStatus::Ok, CheckStatus::Failed]);
        let names: Vec<&str> = rows.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["token", "rbac pods"]);
    }
}
