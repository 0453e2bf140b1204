//! Why connect failed: the part of the doctor's table that is not as it should be.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::findings::Findings;
use super::{Visit, plan};
use crate::commands::guard::{Ended, Guard};
use crate::commands::selection::Selection;
use crate::diagnosis::{State, Table};
use crate::github;
use crate::inputs::Plan;
use crate::report::{Report, say};
use crate::retry::Retrier;

/// No more than this comes between a failure and its error.
const WITHIN: Duration = Duration::from_secs(4);

/// Looks again at the road that connect has gone, with what it left in its folder, and prints where it ends. Says
/// nothing when a signal wants this to end.
pub(in crate::commands) async fn explain(guard: &mut Guard, plan: &Arc<Plan>, selection: &Arc<Selection>) {
    let deadline = Instant::now() + WITHIN;
    let findings = Findings::new(plan::of(plan, false), false);
    let visit = Visit {
        plan: plan.clone(),
        selection: selection.clone(),
        findings: findings.clone(),
        retrier: Retrier::new(deadline, |_| ()),
        mask: github::mask,
        builds: false,
    };
    if let Err(Ended::Signal(_)) = guard.over(visit.walk(), Some(deadline)).await {
        return;
    }
    findings.close(&format!("no answer within {} s", WITHIN.as_secs()));
    // Of a part in which something failed, what only might be better explains nothing.
    let failed = findings.parts(State::Failed, &[State::Ok, State::Failed]);
    let warned = findings.parts(State::Warning, &[State::Ok, State::Warning]);
    let Some(rows) = [failed, warned].into_iter().find(|rows| !rows.is_empty()) else {
        return say("Looked at the road again, and found nothing wrong there");
    };
    say("What remote-buildkit doctor finds there:");
    let table = Table::of(rows.iter().map(|check| check.name.as_str()));
    for check in rows {
        Report::detail(&table.row(&check).replace('\n', "\n  "));
    }
}
