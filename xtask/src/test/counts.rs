//! How long each stage took, how many tests passed in it, and which took longest; printed at the end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::progress::seconds;

use super::binary::Finished;
use super::tally::Tally;
use crate::tool::spawn;

/// How many of the slowest tests are printed.
const SLOWEST: usize = 10;

/// The results of the stages so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    stages: Vec<Stage>,
    tests: Vec<(String, Duration)>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    took: Duration,
    /// `None` if the stage runs no tests, or was interrupted.
    tally: Option<Tally>,
}

impl Counts {
    /// Measures a stage that runs no tests.
    pub(crate) fn timed<T>(&mut self, name: &str, stage: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = stage();
        self.add(name, start.elapsed(), None);
        result
    }

    fn add(&mut self, name: &str, took: Duration, tally: Option<Tally>) {
        let name = name.to_owned();
        self.stages.push(Stage { name, took, tally });
    }

    /// Runs a `cargo test`, shows its output and counts its results.
    pub(crate) fn stage(&mut self, name: &str, command: &mut Command) -> Result<()> {
        eprintln!("== {name}");
        let start = Instant::now();
        let mut child = spawn(command.stdout(Stdio::piped()))?;
        let output = child.stdout.take().context("stdout is piped")?;
        let (results, received) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                println!("{line}");
                if line.starts_with("test result: ") && results.send(line).is_err() {
                    break;
                }
            }
        });
        let status = lab::wait(&mut child)?;
        let mut tally = Tally::default();
        // Not until the stream ends: a process that a test left behind may hold it open.
        while let Ok(line) = received.recv_timeout(Duration::from_secs(1)) {
            tally.add(&line);
        }
        self.add(name, start.elapsed(), Some(tally));
        ensure!(status.success(), "{name} failed: {status}");
        Ok(())
    }

    /// Runs tests and counts their results; an error if one of them failed.
    pub(crate) fn stage_of(
        &mut self,
        name: &str,
        tests: impl FnOnce() -> Result<(Vec<Finished>, Tally)>,
    ) -> Result<()> {
        eprintln!("== {name}");
        let start = Instant::now();
        let (finished, tally) = tests()?;
        let failed = tally.failed;
        self.tests
            .extend(finished.into_iter().map(|test| (test.name, test.took)));
        self.add(name, start.elapsed(), Some(tally));
        ensure!(failed == 0, "{name} failed: {failed} of them");
        Ok(())
    }

    /// Returns the slowest tests, then one line for each stage, then the total.
    pub(crate) fn report(&self) -> String {
        let mut report = String::new();
        let mut slowest: Vec<_> = self.tests.iter().collect();
        slowest.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        slowest.truncate(SLOWEST);
        if !slowest.is_empty() {
            let all = self.tests.iter().map(|(_, took)| took).sum();
            report += &format!(
                "== slowest of {} tests on the lab, which took {} together\n",
                self.tests.len(),
                seconds(all)
            );
        }
        for (name, took) in slowest {
            report += &format!("   {:>12}  {name}\n", seconds(*took));
        }
        for Stage { name, took, tally } in &self.stages {
            let took = seconds(*took);
            report += &match tally {
                Some(Tally {
                    passed,
                    failed,
                    ignored,
                }) => {
                    format!("== {name}: {passed} passed, {failed} failed, {ignored} ignored ({took})\n")
                }
                None => format!("== {name}: {took}\n"),
            };
        }
        let total = self.stages.iter().map(|stage| stage.took).sum();
        report + &format!("== total: {}\n", seconds(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_run_fails_the_stage_and_is_counted() {
        let mut counts = Counts::default();
        let line =
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s";
        let failed = counts.stage(
            "s",
            Command::new("sh")
                .arg("-c")
                .arg(format!("echo '{line}'; exit 101")),
        );
        assert!(failed.is_err());
        let expected = Tally {
            passed: 1,
            failed: 1,
            ignored: 0,
        };
        assert_eq!(counts.stages[0].tally, Some(expected));
    }

    #[test]
    fn the_report_has_each_stage_and_the_total() {
        let test = |name: &str, seconds| (name.to_owned(), Duration::from_secs(seconds));
        let mut counts = Counts {
            tests: vec![test("a::fast", 2), test("a::slow", 100)],
            ..Counts::default()
        };
        counts.add("format", Duration::from_millis(800), None);
        let tally = Tally {
            passed: 2,
            ..Tally::default()
        };
        counts.add("tests on the lab", Duration::from_secs(60), Some(tally));
        let expected = [
            "== slowest of 2 tests on the lab, which took 1 min 42 s together",
            "     1 min 40 s  a::slow",
            "          2.0 s  a::fast",
            "== format: 0.8 s",
            "== tests on the lab: 2 passed, 0 failed, 0 ignored (1 min 00 s)",
            "== total: 1 min 00 s",
        ];
        assert_eq!(counts.report().lines().collect::<Vec<_>>(), expected);
    }
}
