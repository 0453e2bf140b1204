//! The plan as a table: lines for the log, Markdown for the summary of the job.

use super::parts::{MANY, Role, Touch};
use super::plan::{Plan, Row, Why};

/// Nobody reads more.
const MOST_ROWS: usize = 500;

/// The summary of a step may have 1 MiB
/// (<https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary>); an earlier
/// part of the step may have written to it.
const LARGEST: usize = 900 * 1024;

/// Lines as wide as they have to be, what is built first.
pub fn lines(plan: &Plan) -> Vec<String> {
    let rows = sorted(plan);
    let width = rows
        .iter()
        .map(|row| row.target.chars().count())
        .max()
        .unwrap_or(0);
    let line = |row: &&Row| {
        let (target, because) = (visible(&row.target), visible(&because(row, &str::to_owned)));
        let line = format!("{target:width$}  {:7}  {because}", state(row));
        line.trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().take(MOST_ROWS).map(line).collect();
    lines.extend(left_out(rows.len(), lines.len()));
    lines
}

/// Markdown, with the verdict above the table and whatever else there is to say.
pub fn markdown(plan: &Plan, verdict: &str, notes: &[String]) -> String {
    let rows = sorted(plan);
    let mut text = format!("### Matrix\n\n{}\n", escaped(verdict));
    for note in notes {
        text += &format!("\n{}\n", escaped(note));
    }
    if rows.is_empty() {
        return text;
    }
    text += "\n| Target | | Because of |\n|---|---|---|\n";
    let code = |text: &str| format!("<code>{}</code>", escaped(text));
    let mut shown = 0;
    for row in rows.iter().take(MOST_ROWS) {
        let cells = format!(
            "| {} | {} | {} |\n",
            code(&row.target),
            state(row),
            because(row, &code)
        );
        if text.len() + cells.len() > LARGEST {
            break;
        }
        text += &cells;
        shown += 1;
    }
    if let Some(left_out) = left_out(rows.len(), shown) {
        text += &format!("\n{left_out}\n");
    }
    text
}

/// What came out of it, in a sentence. `changed` has how many files changed, and between what.
pub fn verdict(plan: &Plan, changed: Option<(usize, &str)>) -> String {
    let (built, all) = (plan.built().len(), plan.rows.len());
    let what = match (built, all) {
        (0, _) => "Nothing is built".to_owned(),
        (1, 1) => "The only target is built".to_owned(),
        (1, all) => format!("1 of {all} targets is built"),
        (built, all) if built == all => format!("All {all} targets are built"),
        (built, all) => format!("{built} of {all} targets are built"),
    };
    match (&plan.everything, changed) {
        (Some(reason), _) => format!("{what}: {reason}."),
        (None, Some((files, between))) => format!("{what}: {} changed {between}.", count(files, "file")),
        (None, None) => format!("{what}."),
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 {
        format!("1 {what}")
    } else {
        format!("{number} {what}s")
    }
}

fn sorted(plan: &Plan) -> Vec<&Row> {
    let mut rows: Vec<&Row> = plan.rows.iter().collect();
    rows.sort_by_key(|row| row.built.is_none());
    rows
}

fn state(row: &Row) -> &'static str {
    if row.built.is_some() { "built" } else { "skipped" }
}

fn left_out(all: usize, shown: usize) -> Option<String> {
    let left = all - shown;
    (left > 0).then(|| format!("{left} more are not shown; the output targets has all that are built."))
}

fn because(row: &Row, quoted: &dyn Fn(&str) -> String) -> String {
    row.built
        .as_ref()
        .map_or_else(String::new, |why| reason(why, quoted))
}

fn reason(why: &Why, quoted: &dyn Fn(&str) -> String) -> String {
    match why {
        Why::Everything => "everything is built".into(),
        Why::Touched(touch) => touched(touch, quoted),
        Why::Unknown(reason) => quoted(reason),
        Why::Linked(target, root) => format!("{}, which has {}", quoted(target), reason(root, quoted)),
    }
}

fn touched(touch: &Touch, quoted: &dyn Fn(&str) -> String) -> String {
    let Touch { path, role, more } = touch;
    let role = match role {
        Some(Role::Dockerfile) => " (its Dockerfile)",
        Some(Role::Ignore) => " (says what is copied)",
        Some(Role::Link) => " (a link)",
        Some(Role::Policy) => " (its policy)",
        None => "",
    };
    let more = match *more {
        0 => String::new(),
        MANY => format!(" and at least {MANY} more"),
        more => format!(" and {more} more"),
    };
    format!("{}{role}{more}", quoted(path))
}

/// A path may hold anything, line breaks and what moves a cursor among it.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Text that is neither Markdown nor HTML, whatever it holds: a character by its number has no other meaning
/// (CommonMark, "Entity and numeric character references").
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        if c.is_ascii_punctuation() && !"-/,.".contains(c) {
            escaped += &format!("&#{};", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    // GitHub makes a link of it.
    escaped.replace("www.", "www&#46;")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(target: &str, built: Option<Why>) -> Row {
        Row {
            target: target.into(),
            built,
        }
    }

    fn touch(path: &str, role: Option<Role>, more: usize) -> Why {
        Why::Touched(Touch {
            path: path.into(),
            role,
            more,
        })
    }

    fn plan() -> Plan {
        Plan {
            rows: vec![
                row("admin", None),
                row("api", Some(touch("api/a|b.go", None, 2))),
                row("base", Some(touch("base/Dockerfile", Some(Role::Dockerfile), 0))),
                row(
                    "web",
                    Some(Why::Linked("base".into(), Box::new(touch("base/x", None, MANY)))),
                ),
                row("worker", Some(Why::Unknown("its context is ../x".into()))),
            ],
            everything: None,
        }
    }

    #[test]
    fn what_is_built_comes_first_with_its_reason() {
        assert_eq!(
            lines(&plan()),
            [
                "api     built    api/a|b.go and 2 more",
                "base    built    base/Dockerfile (its Dockerfile)",
                "web     built    base, which has base/x and at least 99 more",
                "worker  built    its context is ../x",
                "admin   skipped",
            ]
        );
    }

    #[test]
    fn the_summary_is_a_table_of_the_same() {
        let text = markdown(&plan(), "4 of 5 <b>targets", &["A note.".into()]);
        assert!(
            text.starts_with("### Matrix\n\n4 of 5 &#60;b&#62;targets\n\nA note.\n\n| Target |"),
            "{text}"
        );
        assert!(text.contains("| <code>api</code> | built | <code>api/a&#124;b.go</code> and 2 more |\n"));
        assert!(text.contains("| <code>admin</code> | skipped |  |\n"), "{text}");
        let none = Plan {
            rows: vec![],
            everything: None,
        };
        assert!(!markdown(&none, "Nothing.", &[]).contains("Target"));
    }

    #[test]
    fn long_tables_are_cut_and_say_so() {
        let rows = (0..700).map(|number| row(&format!("t{number}"), None)).collect();
        let plan = Plan {
            rows,
            everything: None,
        };
        let said = "200 more are not shown";
        assert_eq!(lines(&plan).len(), MOST_ROWS + 1);
        assert!(lines(&plan)[MOST_ROWS].starts_with(said));
        assert!(markdown(&plan, "", &[]).contains(said));
        let wide = (0..400).map(|_| row("t", Some(Why::Unknown("x".repeat(4000)))));
        let plan = Plan {
            rows: wide.collect(),
            everything: None,
        };
        let text = markdown(&plan, "", &[]);
        assert!(text.len() < LARGEST + 200 && text.contains("more are not shown"));
    }

    #[test]
    fn verdicts() {
        let mut plan = plan();
        let changed = Some((1, "between a and b"));
        assert_eq!(
            verdict(&plan, changed),
            "4 of 5 targets are built: 1 file changed between a and b."
        );
        plan.everything = Some("the base is not known".into());
        plan.rows.remove(0);
        assert_eq!(
            verdict(&plan, None),
            "All 4 targets are built: the base is not known."
        );
        plan.everything = None;
        plan.rows.truncate(1);
        assert_eq!(
            verdict(&plan, changed),
            "The only target is built: 1 file changed between a and b."
        );
        plan.rows.push(row("admin", None));
        assert_eq!(verdict(&plan, None), "1 of 2 targets is built.");
        plan.rows.clear();
        assert_eq!(
            verdict(&plan, Some((0, "since a"))),
            "Nothing is built: 0 files changed since a."
        );
    }

    proptest! {
        /// A path cannot leave its cell.
        #[test]
        fn nothing_in_a_name_is_markup(text in "\\PC{0,20}|[<>|`*_@:&\\[\\]\n\r]{0,20}") {
            let escaped = escaped(&text);
            let plain = escaped.chars().all(|c| !"<>|`*_@:[]\n\r".contains(c));
            prop_assert!(plain, "{}", escaped);
        }
    }
}
