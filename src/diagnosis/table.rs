//! Formats the rows as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Check, CheckStatus};

/// The width of the column of names. It must be known before the first row is printed.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    width: usize,
}

/// The table shows durations from this one on; the JSON shows all.
const SHOWN_FROM: Duration = Duration::from_millis(10);

impl Table {
    /// Returns the table for checks of these names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let longest = names.into_iter().map(str::len).max();
        Self {
            width: longest.unwrap_or_default(),
        }
    }

    /// Returns a row: mark, name, what was found, and below it what to do.
    pub fn row(self, check: &Check) -> String {
        let mark = match check.finding.status {
            CheckStatus::Ok => "✓",
            CheckStatus::Warning => "!",
            CheckStatus::Failed => "✗",
            CheckStatus::Skipped => "-",
        };
        let indent = " ".repeat(self.width + 4);
        let under = |text: &str, indent: &str| text.trim_end().replace('\n', &format!("\n{indent}"));
        let found = under(&check.finding.found, &indent);
        let took = match check.took {
            Some(took) if took >= SHOWN_FROM => format!(" ({:.2} s)", took.as_secs_f64()),
            _ => String::new(),
        };
        let row = format!("{mark} {:width$}  {found}{took}", check.name, width = self.width);
        if check.finding.remedy.is_empty() {
            return row;
        }
        let remedy = under(&check.finding.remedy, &format!("{indent}  "));
        format!("{row}\n{indent}→ {remedy}")
    }
}

/// Returns the line for checks that were skipped for the same reason.
pub fn skipped_row(names: &[String], why: &str) -> String {
    format!("- {why}: {}", names.join(", "))
}

/// Returns whether a build would work, as a sentence that names the failed checks or the warnings.
pub fn verdict(checks: &[Check]) -> Result<String, String> {
    let names = |status| -> Vec<&str> {
        let those = checks.iter().filter(|check| check.finding.status == status);
        those.map(|check| check.name.as_str()).collect()
    };
    let (failed, warnings) = (names(CheckStatus::Failed), names(CheckStatus::Warning));
    if !failed.is_empty() {
        return Err(format!("A build would not work: {}.", failed.join(", ")));
    }
    if checks
        .iter()
        .any(|check| check.finding.status == CheckStatus::Skipped)
    {
        return Err("Could not determine whether a build would work.".into());
    }
    if warnings.is_empty() {
        return Ok("A build would work.".into());
    }
    Ok(format!(
        "A build would work; see the warnings: {}.",
        warnings.join(", ")
    ))
}

/// Returns the rows as JSON. docs/doctor.md describes the fields.
pub fn json(checks: &[Check]) -> Value {
    let row = |check: &Check| {
        let mut row = json!({
            "check": check.name,
            "status": check.finding.status,
            "found": check.finding.found,
            "remedy": check.finding.remedy,
        });
        if let Some(took) = check.took {
            row["milliseconds"] = json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        }
        row
    };
    checks.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    fn checks() -> Vec<Check> {
        let check = |name: &str, took, finding| Check {
            name: name.into(),
            finding,
            took: Some(took).filter(|took| *took > 0).map(Duration::from_millis),
        };
        vec![
            check("identity", 120, Finding::ok("arn:aws:iam::123456789012:role/ci")),
            check("buildx", 31, Finding::warning("0.36.1", "Use 0.37 or newer.")),
            check(
                "token",
                9,
                Finding::failed(
                    "Asked and got 401:\nUnauthorized.",
                    "Add an access entry:\naws eks …",
                ),
            ),
            check("exec", 0, Finding::skipped("skipped (requires token)")),
        ]
    }

    #[test]
    fn the_table() {
        let checks = checks();
        let table = Table::of(checks.iter().map(|check| check.name.as_str()));
        let rows: Vec<String> = checks.iter().map(|check| table.row(check)).collect();
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
        insta::assert_snapshot!(format!("{:#}", json(&checks())), @r#"
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
        let all = checks();
        assert_eq!(verdict(&all), Err("A build would not work: token.".into()));
        assert_eq!(
            verdict(&all[..2]),
            Ok("A build would work; see the warnings: buildx.".into())
        );
        assert_eq!(verdict(&all[..1]), Ok("A build would work.".into()));
        assert!(verdict(&all[3..]).is_err());
    }
}
