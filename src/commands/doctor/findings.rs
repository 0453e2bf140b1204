//! The rows so far.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::plan::{Part, Planned};
use crate::diagnosis::{Check, Finding, State, Table};
use crate::report::say;

/// Collects rows in the order in which they are looked at. Clones are one: whoever ends a look that takes too long has
/// what it came to.
#[derive(Debug, Clone)]
pub(super) struct Findings(Arc<Mutex<Rows>>);

#[derive(Debug)]
struct Rows {
    planned: Vec<Planned>,
    checks: Vec<Check>,
    under_way: Option<(String, Instant)>,
    /// Each row is printed as it comes.
    printed: Option<Table>,
}

impl Findings {
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
    pub(super) async fn look<T>(
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
    pub(super) fn note(&self, name: &str, finding: Finding) {
        self.with(|rows| rows.add(name, finding, None));
    }

    /// Says of these checks that they were not made, unless they were.
    pub(super) fn skip(&self, names: &[String]) {
        self.with(|rows| rows.skip(names));
    }

    /// Ends it: the look under way had no answer, for this reason, and what follows was not made.
    pub(super) fn close(&self, why: &str) {
        self.with(|rows| {
            if let Some((name, began)) = rows.under_way.take() {
                let remedy = "Whatever is asked here does not answer; see what this runner may reach.";
                rows.add(&name, Finding::failed(why, remedy), Some(began));
            }
            let names: Vec<String> = rows.planned.iter().map(|planned| planned.name.clone()).collect();
            rows.skip(&names);
        });
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        self.with(|rows| rows.checks.clone())
    }

    /// The rows, of some states, of the parts in which something is in this state.
    pub(super) fn parts(&self, state: State, of: &[State]) -> Vec<Check> {
        self.with(|rows| {
            let part = |check: &Check| -> Option<Part> {
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
            .rfind(|check| check.finding.state == State::Failed);
        let why = match failed {
            Some(check) => format!("not looked at, for want of: {}", check.name),
            None => "not looked at".to_owned(),
        };
        for name in names {
            if !self.checks.iter().any(|check| check.name == *name) {
                self.add(name, Finding::skipped(why.clone()), None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::super::plan;
    use super::*;

    fn findings() -> Findings {
        Findings::new(plan::without_inputs(), false)
    }

    fn of(findings: &Findings, name: &str) -> Finding {
        let check = findings.checks().into_iter().find(|check| check.name == name);
        check.expect(name).finding
    }

    #[test]
    fn what_follows_a_failure_is_not_looked_at_and_says_for_want_of_what() {
        let findings = findings();
        findings.note(plan::IDENTITY, Finding::ok("ci"));
        findings.note(plan::CLUSTER, Finding::failed("denied", "Allow it."));
        findings.close("");
        let rows = findings.checks();
        let names: Vec<&str> = rows.iter().map(|check| check.name.as_str()).collect();
        // Each once.
        assert_eq!(names.len(), plan::without_inputs().len());
        assert!(names.ends_with(&["agent", "volume", "buildkit", "disk", "exec", "build", "cache"]));
        assert_eq!(
            of(&findings, plan::TOKEN),
            Finding::skipped("not looked at, for want of: cluster")
        );
    }

    #[test]
    fn a_look_that_was_cut_off_has_failed() {
        let findings = findings();
        let look = findings.look::<()>(plan::TOKEN, std::future::pending());
        assert!(look.now_or_never().is_none());
        findings.close("nothing came");
        let token = of(&findings, plan::TOKEN);
        assert_eq!(
            (token.state, token.found.as_str()),
            (State::Failed, "nothing came")
        );
        assert_eq!(
            of(&findings, plan::BUILD).found,
            "not looked at, for want of: token"
        );
    }

    #[test]
    fn a_part_explains_by_what_is_right_and_wrong_in_it() {
        let findings = findings();
        findings.note(plan::IDENTITY, Finding::ok("ci"));
        findings.note(plan::TOKEN, Finding::ok("taken"));
        findings.note(&plan::rbac("pods"), Finding::failed("may not list", "Bind it."));
        findings.note(
            &plan::rbac("events"),
            Finding::warning("may not watch", "Bind it."),
        );
        let rows = findings.parts(State::Failed, &[State::Ok, State::Failed]);
        let names: Vec<&str> = rows.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["token", "rbac pods"]);
    }
}
