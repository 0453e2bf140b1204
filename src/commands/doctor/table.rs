//! Formats the results as a table for people, as JSON for programs, and as one sentence.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Value, json};

use super::finding::{CheckResult, CheckStatus};

/// The width of the column of names. It must be known before the first row is printed.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    width: usize,
}

/// The table shows durations from this one on; the JSON shows all.
const SHOWN_FROM: Duration = Duration::from_millis(10);

impl Table {
    /// Returns the table for rows of these names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let longest = names.into_iter().map(str::len).max();
        Self {
            width: longest.unwrap_or_default(),
        }
    }

    /// Returns a row: mark, name, what was found, and below it what to do.
    pub fn row(self, result: &CheckResult) -> String {
        let mark = match result.finding.status {
            CheckStatus::Ok => "✓",
            CheckStatus::Warning => "!",
            CheckStatus::Failed => "✗",
            CheckStatus::Skipped | CheckStatus::NotNeeded => "-",
        };
        let indent = " ".repeat(self.width + 4);
        let under = |text: &str, indent: &str| text.trim_end().replace('\n', &format!("\n{indent}"));
        let found = under(&result.finding.found, &indent);
        let took = match result.took {
            Some(took) if took >= SHOWN_FROM => format!(" ({:.2} s)", took.as_secs_f64()),
            _ => String::new(),
        };
        let row = format!("{mark} {:width$}  {found}{took}", result.name, width = self.width);
        if result.finding.remedy.is_empty() {
            return row;
        }
        let remedy = under(&result.finding.remedy, &format!("{indent}  "));
        format!("{row}\n{indent}→ {remedy}")
    }
}

/// Returns the line for checks that were skipped for the same reason.
pub fn skipped_row(names: &[String], why: &str) -> String {
    format!("- {why}: {}", names.join(", "))
}

/// Returns whether a build would work, as a sentence that names the failed checks or the warnings.
pub fn verdict(results: &[CheckResult]) -> Result<String, String> {
    let names = |status| -> Vec<&str> {
        let with_status = results.iter().filter(|result| result.finding.status == status);
        with_status.map(|result| result.name.as_str()).collect()
    };
    let failed = names(CheckStatus::Failed);
    if !failed.is_empty() {
        let mut missing = results
            .iter()
            .filter(|result| result.finding.status == CheckStatus::Failed);
        if missing.all(|result| result.finding.ends_with_connect) {
            let agents = if failed.len() == 1 { "agent" } else { "agents" };
            return Err(format!("No build works until connect has deployed the {agents}."));
        }
        return Err(format!(
            "A build would not work. Failed checks: {}.",
            failed.join(", ")
        ));
    }
    if !names(CheckStatus::Skipped).is_empty() {
        return Err("Could not determine whether a build would work.".into());
    }
    let warnings = names(CheckStatus::Warning);
    if warnings.is_empty() {
        return Ok("A build would work.".into());
    }
    Ok(format!("A build would work. Warnings: {}.", warnings.join(", ")))
}

/// Returns the results as JSON. docs/doctor.md describes the fields. `wording` names settings as the reader does, as inputs
/// or as flags.
pub fn json(results: &[CheckResult], wording: impl Fn(&str) -> Cow<'_, str>) -> Value {
    let row = |result: &CheckResult| {
        let mut row = json!({
            "check": result.name,
            "status": result.finding.status,
            "found": wording(&result.finding.found),
            "remedy": wording(&result.finding.remedy),
        });
        if let Some(took) = result.took {
            row["milliseconds"] = json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        }
        row
    };
    results.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Finding;
    use super::*;

    fn results() -> Vec<CheckResult> {
        let result = |name: &str, took, finding| CheckResult {
            name: name.into(),
            finding,
            took: Some(took).filter(|took| *took > 0).map(Duration::from_millis),
        };
        vec![
            result("identity", 120, Finding::ok("arn:aws:iam::123456789012:role/ci")),
            result("buildx", 31, Finding::warning("0.36.1", "Use 0.37 or newer.")),
            result(
                "token",
                9,
                Finding::failed(
                    "Asked and got 401:\nUnauthorized.",
                    "Add an access entry:\naws eks …",
                ),
            ),
            result("exec", 0, Finding::skipped("skipped (requires token)")),
        ]
    }

    #[test]
    fn the_table() {
        let results = results();
        let table = Table::new(results.iter().map(|result| result.name.as_str()));
        let rows: Vec<String> = results.iter().map(|result| table.row(result)).collect();
        insta::assert_snapshot!(rows.join("\n"), @"
        ✓ identity  arn:aws:iam::123456789012:role/ci (0.12 s)
        ! buildx    0.36.1 (0.03 s)
                    → Use 0.37 or newer.
        ✗ token     Asked and got 401:
                    Unauthorized.
                    → Add an access entry:
                      aws eks …
        - exec      skipped (requires token)
        ");
    }

    #[test]
    fn the_json() {
        insta::assert_snapshot!(format!("{:#}", json(&results(), |text| text.into())), @r#"
        [
          {
            "check": "identity",
            "status": "ok",
            "found": "arn:aws:iam::123456789012:role/ci",
            "remedy": "",
            "milliseconds": 120
          },
          {
            "check": "buildx",
            "status": "warning",
            "found": "0.36.1",
            "remedy": "Use 0.37 or newer.",
            "milliseconds": 31
          },
          {
            "check": "token",
            "status": "failed",
            "found": "Asked and got 401:\nUnauthorized.",
            "remedy": "Add an access entry:\naws eks …",
            "milliseconds": 9
          },
          {
            "check": "exec",
            "status": "skipped",
            "found": "skipped (requires token)",
            "remedy": ""
          }
        ]
        "#);
    }

    #[test]
    fn a_build_works_if_nothing_failed_or_was_skipped() {
        let all = results();
        assert_eq!(
            verdict(&all),
            Err("A build would not work. Failed checks: token.".into())
        );
        assert_eq!(
            verdict(&all[..2]),
            Ok("A build would work. Warnings: buildx.".into())
        );
        assert_eq!(verdict(&all[..1]), Ok("A build would work.".into()));
        assert!(verdict(&all[3..]).is_err());

        let result = |finding| CheckResult {
            name: "agent".into(),
            finding,
            took: None,
        };
        let unneeded = result(Finding::not_needed("not needed: the agent has no volume"));
        assert_eq!(
            verdict(&[all[0].clone(), unneeded]),
            Ok("A build would work.".into())
        );
        let missing = || {
            result(Finding {
                ends_with_connect: true,
                ..Finding::failed("does not exist", "Run connect.")
            })
        };
        let of = |mut rows: Vec<CheckResult>| {
            rows.push(all[3].clone());
            verdict(&rows)
        };
        assert_eq!(
            of(vec![missing()]),
            Err("No build works until connect has deployed the agent.".into())
        );
        assert_eq!(
            of(vec![missing(), missing()]),
            Err("No build works until connect has deployed the agents.".into())
        );
        assert_eq!(
            of(vec![all[2].clone(), missing()]),
            Err("A build would not work. Failed checks: token, agent.".into())
        );
    }
}
