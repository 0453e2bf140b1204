//! `cargo xtask faults`: measures the seconds in docs/design/fault-tests.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use lab::Lab;

use crate::tool::{cargo_test, root, stage};

const TABLE: &str = "docs/design/fault-tests.md";
/// Column numbers. The text before the first bar is column 0.
const SECONDS: usize = 4;
const TEST: usize = 6;
/// Written for a test with many quick results.
const NONE: &str = "–";

#[derive(Debug, clap::Args)]
pub(crate) struct FaultsArgs {
    /// Read the seconds from this file, which tests wrote because REMOTE_BUILDKIT_TIMES named it
    #[arg(long)]
    from: Option<PathBuf>,
}

pub(crate) fn run(args: &FaultsArgs) -> Result<()> {
    lab::cancel::watch()?;
    let path = root().join(TABLE);
    let table = fs::read_to_string(&path)?;
    let tests: Vec<&str> = table.lines().filter_map(test).collect();
    ensure!(!tests.is_empty(), "{TABLE} has no tests");
    let times = match &args.from {
        Some(file) => fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?,
        None => measure(&tests)?,
    };
    // The last time that a test wrote is the one of its fault.
    let times: BTreeMap<&str, &str> = times.lines().filter_map(|line| line.split_once(' ')).collect();
    let rows = table.lines().map(|row| with_time(row, &times));
    let table = rows.collect::<Result<Vec<String>>>()?.join("\n");
    Ok(fs::write(path, table + "\n")?)
}

fn measure(tests: &[&str]) -> Result<String> {
    let times = tempfile::NamedTempFile::new()?;
    let lab = Lab::running_or_new(&lab::install()?)?;
    let mut run = cargo_test("lab");
    run.args(["--", "--test-threads", "1", "--exact"]).args(tests);
    run.env("REMOTE_BUILDKIT_TIMES", times.path());
    stage("tests of faults", &mut run)?;
    lab.end()?;
    Ok(fs::read_to_string(times.path())?)
}

/// Returns the test that a row names.
fn test(row: &str) -> Option<&str> {
    let cell = row.split('|').nth(TEST)?.trim();
    cell.strip_prefix('`')?.strip_suffix('`')
}

fn with_time(row: &str, times: &BTreeMap<&str, &str>) -> Result<String> {
    let Some(test) = test(row) else {
        return Ok(row.to_owned());
    };
    let mut cells: Vec<&str> = row.split('|').collect();
    if cells[SECONDS].trim() == NONE {
        return Ok(row.to_owned());
    }
    let time = times.get(test).with_context(|| format!("{test} wrote no time"))?;
    let time = format!(" {time} ");
    cells[SECONDS] = &time;
    Ok(cells.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_gets_its_time_and_other_lines_stay() -> Result<()> {
        let times = BTreeMap::from([("aws::throttles", "1.5")]);
        let row = "| EKS | here | that | 9.9 | nothing | `aws::throttles` |";
        let timed = "| EKS | here | that | 1.5 | nothing | `aws::throttles` |";
        assert_eq!(with_time(row, &times)?, timed);
        for line in [
            "# Faults",
            "| Fault | Where | Sees | Seconds | Remains | Test |",
            "|---|---|---|---|---|---|",
        ] {
            assert_eq!(with_time(line, &times)?, line);
        }
        assert!(with_time(&row.replace("throttles", "unknown"), &times).is_err());
        Ok(())
    }
}
