//! The rows so far.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::plan::{CheckGroup, Planned};
use crate::diagnosis::{Check, CheckStatus, Finding, Table, skipped_row};
use crate::report::say;

/// Collects rows in the order in which they are looked at. Clones are one: whoever ends a look that takes too long has
/// what it came to.
#[derive(Debug, Clone)]
pub(super) struct Checks(Arc<Mutex<Rows>>);

#[derive(Debug)]
struct Rows {
    planned: Vec<Planned>,
    checks: Vec<Check>,
    under_way: Option<(String, Instant)>,
    /// Each row is printed as it comes.
    printed: Option<Table>,
}

impl Checks {
    /// `printed`: each row as it comes.
    pub(super) fn new(planned: Vec<Planned>, printed: bool) -> Self {
        let table = Table::of(planned.iter().map(|planned| planned.name.as_str()));
        Self(Arc::new(Mutex::new(Rows {
            planned,
            checks: vec![],
            under_way: None,
            printed: printed.then_some(table),
        })))
    }

    /// Looks at something. What the look brings besides its row is for the looks that follow; `None` when it came to
    /// nothing.
    pub(super) async fn run<T>(
        &self,
        name: &str,
        look: impl Future<Output = anyhow::Result<(Finding, T)>>,
    ) -> Option<T> {
        let began = Instant::now();
        self.with(|rows| rows.under_way = Some((name.to_owned(), began)));
        let (finding, brought) = match look.await {
            Ok((finding, brought)) => (finding, Some(brought)),
            Err(error) => (error.into(), None),
        };
        self.with(|rows| {
            rows.under_way = None;
            rows.add(name, finding, Some(began));
        });
        brought
    }

    /// A row that took no look of its own.
    pub(super) fn record(&self, name: &str, finding: Finding) {
        self.with(|rows| rows.add(name, finding, None));
    }

    /// Says of these checks that they were not made, unless they were.
    pub(super) fn skip(&self, names: &[String]) {
        self.with(|rows| rows.skip(names));
    }

    /// Ends it: the look under way had no answer, for this reason, and what follows was not made.
    pub(super) fn finish(&self, why: &str) {
        self.with(|rows| {
            if let Some((name, began)) = rows.under_way.take() {
                let remedy = "Check what this runner can reach.";
                rows.add(&name, Finding::failed(why, remedy), Some(began));
            }
            let names: Vec<String> = rows.planned.iter().map(|planned| planned.name.clone()).collect();
            rows.skip(&names);
        });
    }

    pub(super) fn rows(&self) -> Vec<Check> {
        self.with(|rows| rows.checks.clone())
    }

    /// The rows, of some states, of the parts in which something is in this state.
    pub(super) fn rows_of_groups(&self, state: CheckStatus, of: &[CheckStatus]) -> Vec<Check> {
        self.with(|rows| {
            let part = |check: &Check| -> Option<CheckGroup> {
                let planned = rows.planned.iter().find(|planned| planned.name == check.name);
                planned.map(|planned| planned.part)
            };
            let of_state = rows.checks.iter().filter(|check| check.finding.state == state);
            let parts: Vec<_> = of_state.map(part).collect();
            let those = rows.checks.iter().filter(|check| parts.contains(&part(check)));
            those
                .filter(|check| of.contains(&check.finding.state))
                .cloned()
                .collect()
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        // A panic elsewhere will be reported; the rows are whole.
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
            say(&table.row(&check));
        }
        self.checks.push(check);
    }

    fn skip(&mut self, names: &[String]) {
        let failed = self
            .checks
            .iter()
            .rfind(|check| check.finding.state == CheckStatus::Failed);
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
    fn what_follows_a_failure_is_not_looked_at_and_says_for_want_of_what() {
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
    fn a_look_that_was_cut_off_has_failed() {
        let checks = checks();
        let look = checks.run::<()>(plan::TOKEN, std::future::pending());
        assert!(look.now_or_never().is_none());
        checks.finish("nothing came");
        let token = of(&checks, plan::TOKEN);
        assert_eq!(
            (token.state, token.found.as_str()),
            (CheckStatus::Failed, "nothing came")
        );
        assert_eq!(of(&checks, plan::BUILD).found, "skipped (requires token)");
    }

    #[test]
    fn a_part_explains_by_what_is_right_and_wrong_in_it() {
        let checks = checks();
        checks.record(plan::IDENTITY, Finding::ok("ci"));
        checks.record(plan::TOKEN, Finding::ok("taken"));
        checks.record(&plan::rbac("pods"), Finding::failed("may not list", "Bind it."));
        checks.record(
            &plan::rbac("events"),
            Finding::warning("may not watch", "Bind it."),
        );
        let rows = checks.rows_of_groups(CheckStatus::Failed, &[CheckStatus::Ok, CheckStatus::Failed]);
        let names: Vec<&str> = rows.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["token", "rbac pods"]);
    }
}
