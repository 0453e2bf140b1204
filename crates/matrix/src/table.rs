//! The plan as a table: lines for the log, Markdown for the job summary.

use super::build_inputs::{ChangedInputs, FileRole, MAX_COUNTED};
use super::plan::{BuildReason, Plan, PlanRow};

/// The most rows that a table shows. More would not be read.
const MAX_ROWS: usize = 500;

/// The most bytes of Markdown. The summary of a step may have 1 MiB
/// (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary>), and an
/// earlier part of the step may have written some of it.
const MAX_SUMMARY_BYTES: usize = 900 * 1024;

/// Returns the table as aligned lines, the targets to build first.
pub fn lines(plan: &Plan) -> Vec<String> {
    let rows = to_build_first(plan);
    let width = rows
        .iter()
        .map(|row| row.target.chars().count())
        .max()
        .unwrap_or(0);
    let line = |row: &&PlanRow| {
        let target = without_controls(&row.target);
        let reason = without_controls(&reason_of(row, &str::to_owned));
        let line = format!("{target:width$}  {:8}  {reason}", decision(row));
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().take(MAX_ROWS).map(line).collect();
    lines.extend(omitted_rows(rows.len(), lines.len()));
    lines
}

/// Returns the table as Markdown, below the summary sentence and the notes.
pub fn markdown(plan: &Plan, summary: &str, notes: &[String]) -> String {
    let rows = to_build_first(plan);
    let mut text = format!("### Build matrix\n\n{}\n", escape_markdown(summary));
    for note in notes {
        text += &format!("\n{}\n", escape_markdown(note));
    }
    if rows.is_empty() {
        return text;
    }
    text += "\n| Target | Decision | Reason |\n|---|---|---|\n";
    let code = |text: &str| format!("<code>{}</code>", escape_markdown(text));
    let mut shown = 0;
    for row in rows.iter().take(MAX_ROWS) {
        let cells = format!(
            "| {} | {} | {} |\n",
            code(&row.target),
            decision(row),
            reason_of(row, &code)
        );
        if text.len() + cells.len() > MAX_SUMMARY_BYTES {
            break;
        }
        text += &cells;
        shown += 1;
    }
    if let Some(omitted) = omitted_rows(rows.len(), shown) {
        text += &format!("\n{omitted}\n");
    }
    text
}

/// Returns the plan in one sentence. `changed` is the number of changed files, and between what.
pub fn summary(plan: &Plan, changed: Option<(usize, &str)>) -> String {
    let (to_build, all) = (plan.to_build().len(), plan.rows.len());
    let what = match (to_build, all) {
        (0, _) => "Nothing to build".to_owned(),
        (to_build, all) if to_build == all && all > 1 => format!("All {all} targets to build"),
        (to_build, all) => format!("{to_build} of {} to build", count(all, "target")),
    };
    match (&plan.build_all_because, changed) {
        (Some(reason), _) => format!("{what}: {reason}."),
        (None, Some((files, between))) => format!("{what}: {} changed {between}.", count(files, "file")),
        (None, None) => format!("{what}."),
    }
}

/// Returns a number with its noun, in the plural where needed.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

fn to_build_first(plan: &Plan) -> Vec<&PlanRow> {
    let mut rows: Vec<&PlanRow> = plan.rows.iter().collect();
    rows.sort_by_key(|row| row.reason.is_none());
    rows
}

fn decision(row: &PlanRow) -> &'static str {
    if row.reason.is_some() {
        "to build"
    } else {
        "skipped"
    }
}

fn omitted_rows(all: usize, shown: usize) -> Option<String> {
    let omitted = all - shown;
    (omitted > 0).then(|| {
        let rows = if omitted == 1 { "row is" } else { "rows are" };
        format!("{omitted} more {rows} not shown; the output `targets` lists every target to build.")
    })
}

fn reason_of(row: &PlanRow, quote: &dyn Fn(&str) -> String) -> String {
    row.reason
        .as_ref()
        .map_or_else(String::new, |reason| describe(reason, quote))
}

fn describe(reason: &BuildReason, quote: &dyn Fn(&str) -> String) -> String {
    match reason {
        BuildReason::BuildAll => "all targets are built".into(),
        BuildReason::InputsChanged(changed) => describe_changed(changed, quote),
        BuildReason::Uncertain(reason) => quote(reason),
        BuildReason::LinkedTarget(target, root) => {
            format!("links to {}: {}", quote(target), describe(root, quote))
        }
    }
}

fn describe_changed(changed: &ChangedInputs, quote: &dyn Fn(&str) -> String) -> String {
    let ChangedInputs { path, role, more } = changed;
    let role = match role {
        Some(FileRole::Dockerfile) => " (Dockerfile)",
        Some(FileRole::Dockerignore) => " (ignore file)",
        Some(FileRole::Link) => " (symbolic link)",
        Some(FileRole::Policy) => " (build policy)",
        None => "",
    };
    let more = match *more {
        0 => String::new(),
        MAX_COUNTED => format!(" and at least {MAX_COUNTED} more"),
        more => format!(" and {more} more"),
    };
    format!("{}{role}{more}", quote(path))
}

/// Returns the text with each control character replaced: a path may contain line breaks and terminal escapes.
fn without_controls(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Returns text that neither Markdown nor HTML interprets. A numeric character reference has no
/// other meaning (CommonMark, "Entity and numeric character references").
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in without_controls(text).chars() {
        if c.is_ascii_punctuation() && !"-/,.".contains(c) {
            escaped += &format!("&#{};", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    // GitHub turns it into a link.
    escaped.replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(target: &str, reason: Option<BuildReason>) -> PlanRow {
        PlanRow {
            target: target.into(),
            reason,
        }
    }

    fn changed(path: &str, role: Option<FileRole>, more: usize) -> BuildReason {
        BuildReason::InputsChanged(ChangedInputs {
            path: path.into(),
            role,
            more,
        })
    }

    fn plan() -> Plan {
        let linked = |name: &str, root| BuildReason::LinkedTarget(name.into(), Box::new(root));
        Plan {
            rows: vec![
                row("admin", None),
                row("api", Some(changed("api/a|b.go", None, 2))),
                row(
                    "base",
                    Some(changed("base/Dockerfile", Some(FileRole::Dockerfile), 0)),
                ),
                row(
                    "cart",
                    Some(changed("cart/.dockerignore", Some(FileRole::Dockerignore), 0)),
                ),
                row("docs", Some(changed("docs/current", Some(FileRole::Link), 0))),
                row(
                    "mail",
                    Some(changed("mail/Dockerfile.rego", Some(FileRole::Policy), 0)),
                ),
                row("web", Some(linked("base", changed("base/x", None, MAX_COUNTED)))),
                row(
                    "worker",
                    Some(BuildReason::Uncertain(
                        "its context ../x is outside the repository".into(),
                    )),
                ),
            ],
            build_all_because: None,
        }
    }

    #[test]
    fn the_table_lists_targets_to_build_first_with_their_reasons() {
        insta::assert_snapshot!("table", lines(&plan()).join("\n"));
    }

    #[test]
    fn the_table_says_when_all_targets_are_built() {
        let plan = Plan {
            rows: vec![row("api", Some(BuildReason::BuildAll))],
            build_all_because: Some("the push was forced".into()),
        };
        insta::assert_snapshot!("table_of_all", lines(&plan).join("\n"));
    }

    #[test]
    fn the_job_summary_has_the_same_table_as_markdown() {
        let text = markdown(&plan(), "7 of 8 <b>targets", &["A note.".into()]);
        insta::assert_snapshot!("job_summary", text);
        let none = Plan {
            rows: vec![],
            build_all_because: None,
        };
        assert!(!markdown(&none, "Nothing.", &[]).contains("Target"));
    }

    #[test]
    fn long_tables_are_truncated_with_a_note() {
        let rows = (0..700).map(|number| row(&format!("t{number}"), None)).collect();
        let plan = Plan {
            rows,
            build_all_because: None,
        };
        let note = "200 more rows are not shown";
        assert_eq!(lines(&plan).len(), MAX_ROWS + 1);
        assert!(lines(&plan)[MAX_ROWS].starts_with(note));
        assert!(markdown(&plan, "", &[]).contains(note));
        let wide = (0..400).map(|_| row("t", Some(BuildReason::Uncertain("x".repeat(4000)))));
        let plan = Plan {
            rows: wide.collect(),
            build_all_because: None,
        };
        let text = markdown(&plan, "", &[]);
        assert!(text.len() < MAX_SUMMARY_BYTES + 200 && text.contains("more rows are not shown"));
    }

    #[test]
    fn summary_sentences() {
        let mut plan = plan();
        plan.rows.truncate(5);
        let changed = Some((1, "between a and b"));
        assert_eq!(
            summary(&plan, changed),
            "4 of 5 targets to build: 1 file changed between a and b."
        );
        plan.build_all_because = Some("the base is unknown".into());
        plan.rows.remove(0);
        assert_eq!(
            summary(&plan, None),
            "All 4 targets to build: the base is unknown."
        );
        plan.build_all_because = None;
        plan.rows.truncate(1);
        assert_eq!(
            summary(&plan, changed),
            "1 of 1 target to build: 1 file changed between a and b."
        );
        plan.rows.push(row("admin", None));
        assert_eq!(summary(&plan, None), "1 of 2 targets to build.");
        plan.rows.clear();
        assert_eq!(
            summary(&plan, Some((0, "since a"))),
            "Nothing to build: 0 files changed since a."
        );
    }

    proptest! {
        /// A path cannot leave its table cell.
        #[test]
        fn no_markup_survives_escaping(text in "\\PC{0,20}|[<>|`*_@:&\\[\\]\n\r]{0,20}") {
            let escaped = escape_markdown(&text);
            let plain = escaped.chars().all(|c| !"<>|`*_@:[]\n\r".contains(c));
            prop_assert!(plain, "{}", escaped);
        }
    }
}
