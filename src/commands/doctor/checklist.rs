//! Runs the checks and collects their results.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::check::{CheckGroup, PlannedRow};
use super::finding::{CheckResult, CheckStatus, Finding};
use super::table::{Table, skipped_row};

/// Returns why a check was skipped that requires another one.
pub fn skipped_because(required: &str) -> String {
    format!("skipped (requires {required})")
}

/// Prints a row of the table.
pub type Print = Box<dyn Fn(&str) + Send>;

/// Collects the results in the order in which the checks run. Clones share the results, so that a caller which interrupts a
/// check has the results of the earlier ones.
#[derive(Clone)]
pub struct Checklist(Arc<Mutex<ChecklistState>>);

struct ChecklistState {
    planned: Vec<PlannedRow>,
    results: Vec<CheckResult>,
    /// The check that runs, and since when.
    running: Option<(String, Instant)>,
    table: Table,
    print: Option<Print>,
}

impl Checklist {
    /// Returns a checklist without results. With `print`, each row is printed as soon as it is known.
    pub fn new(planned: Vec<PlannedRow>, print: Option<Print>) -> Self {
        let table = Table::new(planned.iter().map(|row| row.name.as_str()));
        Self(Arc::new(Mutex::new(ChecklistState {
            planned,
            results: vec![],
            running: None,
            table,
            print,
        })))
    }

    /// Runs a check and records its result. Returns what later checks need, or `None` if it failed.
    pub async fn run<T>(
        &self,
        name: &str,
        check: impl Future<Output = anyhow::Result<(Finding, T)>>,
    ) -> Option<T> {
        let began = Instant::now();
        self.with(|state| state.running = Some((name.to_owned(), began)));
        let (finding, value) = match check.await {
            Ok((finding, value)) => (finding, Some(value)),
            Err(error) => (error.into(), None),
        };
        self.with(|state| {
            state.running = None;
            state.add(name, finding, Some(began));
        });
        value
    }

    /// Records a result that needed no request of its own.
    pub fn record(&self, name: &str, finding: Finding) {
        self.with(|state| state.add(name, finding, None));
    }

    /// Records these checks as skipped because they require another one, except for those that have a result.
    pub fn skip(&self, names: &[String], required: &str) {
        self.with(|state| state.skip(names, &skipped_because(required)));
    }

    /// Records the finding of the check that runs, which was interrupted. Between two checks, it is that of the next one.
    pub fn interrupt(&self, finding: Finding) {
        self.with(|state| {
            let running = state.running.take().map(|(name, began)| (name, Some(began)));
            let running = running.or_else(|| Some((state.next_row()?, None)));
            if let Some((name, began)) = running {
                state.add(&name, finding, began);
            }
        });
    }

    /// Ends the checks: the remaining ones are skipped, because they require the last one that failed.
    pub fn finish(&self) {
        self.with(|state| {
            let names: Vec<String> = state.planned.iter().map(|row| row.name.clone()).collect();
            let failed = state
                .results
                .iter()
                .rfind(|result| result.finding.status == CheckStatus::Failed);
            let why = failed.map_or_else(|| "skipped".to_owned(), |result| skipped_because(&result.name));
            state.skip(&names, &why);
        });
    }

    /// Returns the results so far.
    pub fn results(&self) -> Vec<CheckResult> {
        self.with(|state| state.results.clone())
    }

    /// Returns the results with one of the statuses `shown`, from the groups that have a result with `status`.
    pub fn results_of_groups(&self, status: CheckStatus, shown: &[CheckStatus]) -> Vec<CheckResult> {
        self.with(|state| {
            let group = |result: &CheckResult| -> Option<CheckGroup> {
                let planned = state.planned.iter().find(|row| row.name == result.name);
                planned.map(|row| row.group)
            };
            let with_status = state.results.iter().filter(|r| r.finding.status == status);
            let groups: Vec<_> = with_status.map(group).collect();
            let related = state.results.iter().filter(|r| groups.contains(&group(r)));
            related
                .filter(|result| shown.contains(&result.finding.status))
                .cloned()
                .collect()
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut ChecklistState) -> T) -> T {
        // The lock is poisoned only by a panic elsewhere, which is reported; the results are complete.
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut state)
    }
}

impl ChecklistState {
    /// Returns the first planned row that has no result.
    fn next_row(&self) -> Option<String> {
        let known = |name: &str| self.results.iter().any(|result| result.name == name);
        let next = self.planned.iter().find(|row| !known(&row.name));
        next.map(|row| row.name.clone())
    }

    fn add(&mut self, name: &str, finding: Finding, began: Option<Instant>) {
        let result = CheckResult {
            name: name.to_owned(),
            finding,
            took: began.map(|began| began.elapsed()),
        };
        if let Some(print) = &self.print {
            print(&self.table.row(&result));
        }
        self.results.push(result);
    }

    fn skip(&mut self, names: &[String], why: &str) {
        let known = |name: &&String| self.results.iter().any(|result| result.name == **name);
        let skipped: Vec<String> = names.iter().filter(|name| !known(name)).cloned().collect();
        if let Some(print) = self.print.as_ref().filter(|_| !skipped.is_empty()) {
            print(&skipped_row(&skipped, why));
        }
        self.results.extend(skipped.into_iter().map(|name| CheckResult {
            name,
            finding: Finding::skipped(why),
            took: None,
        }));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::check::Scope;
    use super::super::planned;
    use super::*;

    fn checklist() -> Checklist {
        Checklist::new(planned(&Scope::example()), None)
    }

    fn finding(checklist: &Checklist, name: &str) -> Finding {
        let result = checklist.results().into_iter().find(|result| result.name == name);
        result.expect(name).finding
    }

    #[test]
    fn checks_after_a_failure_are_skipped_and_name_what_they_require() {
        let checklist = checklist();
        checklist.record("identity", Finding::ok("ci"));
        checklist.record("cluster", Finding::failed("denied", "Allow it."));
        checklist.finish();
        let results = checklist.results();
        let names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
        // Each row is there once.
        assert_eq!(names.len(), planned(&Scope::example()).len());
        assert!(names.ends_with(&["agent", "volume", "buildkit", "disk", "exec", "build", "cache"]));
        assert_eq!(
            finding(&checklist, "token"),
            Finding::skipped("skipped (requires cluster)")
        );
    }

    #[test]
    fn a_skipped_check_names_what_it_requires_and_not_the_last_failure() {
        let checklist = checklist();
        checklist.record("buildx", Finding::failed("not installed", "Install it."));
        checklist.record("exec", Finding::failed("denied", "Allow it."));
        checklist.skip(&["exec".to_owned(), "build".to_owned()], "buildx");
        assert_eq!(finding(&checklist, "exec").found, "denied");
        assert_eq!(
            finding(&checklist, "build"),
            Finding::skipped("skipped (requires buildx)")
        );
    }

    #[test]
    fn an_interrupted_check_has_failed() {
        let checklist = checklist();
        let check = checklist.run::<()>("token", std::future::pending());
        assert!(check.now_or_never().is_none());
        checklist.interrupt(Finding::failed("no response", "Look."));
        checklist.finish();
        let token = finding(&checklist, "token");
        assert_eq!(
            (token.status, token.found.as_str()),
            (CheckStatus::Failed, "no response")
        );
        assert_eq!(finding(&checklist, "build").found, "skipped (requires token)");
    }

    #[test]
    fn an_interruption_between_two_checks_is_a_failure_of_the_next_one() {
        let checklist = checklist();
        let rows = planned(&Scope::example());
        let (agent, earlier) = rows
            .iter()
            .position(|row| row.name == "agent")
            .map(|at| (&rows[at], &rows[..at]))
            .expect("agent");
        for row in earlier {
            checklist.record(&row.name, Finding::ok("fine"));
        }
        checklist.interrupt(Finding::failed("no response", "Look."));
        assert_eq!(
            finding(&checklist, &agent.name),
            Finding::failed("no response", "Look.")
        );
    }

    #[test]
    fn a_failed_group_shows_its_failed_and_good_rows() {
        let checklist = checklist();
        checklist.record("identity", Finding::ok("ci"));
        checklist.record("token", Finding::ok("taken"));
        checklist.record("rbac pods", Finding::failed("denied: list", "Bind it."));
        checklist.record("rbac events", Finding::warning("denied: watch", "Bind it."));
        let shown = [CheckStatus::Ok, CheckStatus::Failed];
        let results = checklist.results_of_groups(CheckStatus::Failed, &shown);
        let names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
        assert_eq!(names, ["token", "rbac pods"]);
    }
}
