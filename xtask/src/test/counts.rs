//! How many tests passed in each stage, and which took longest; printed at the end.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::progress::seconds;

use super::binary::Finished;
use crate::tool::spawn;

/// How many of the slowest tests are printed.
const SLOWEST: usize = 10;

/// The results of the stages so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    stages: Vec<(String, Duration, Tally)>,
    tests: Vec<(String, Duration)>,
}

/// The results of a stage's tests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
}

impl Counts {
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
        self.stages.push((name.to_owned(), start.elapsed(), tally));
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
        self.stages.push((name.to_owned(), start.elapsed(), tally));
        ensure!(failed == 0, "{name} failed: {failed} of them");
        Ok(())
    }

    /// Prints the slowest tests, then one line for each stage.
    pub(crate) fn print(&self) {
        let mut slowest: Vec<_> = self.tests.iter().collect();
        slowest.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        slowest.truncate(SLOWEST);
        if !slowest.is_empty() {
            println!("== slowest tests on the lab");
        }
        for (name, took) in slowest {
            println!("   {:>12}  {name}", seconds(*took));
        }
        for (name, took, tally) in &self.stages {
            let Tally {
                passed,
                failed,
                ignored,
            } = tally;
            let took = seconds(*took);
            println!("== {name}: {passed} passed, {failed} failed, {ignored} ignored ({took})");
        }
    }
}

impl Tally {
    /// Adds the numbers of libtest's closing line: `test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn add(&mut self, line: &str) {
        for part in line.split(['.', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let count = match what {
                "passed" => &mut self.passed,
                "failed" => &mut self.failed,
                "ignored" => &mut self.ignored,
                _ => continue,
            };
            *count += number.parse::<usize>().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_runners_add_up() {
        let mut tally = Tally::default();
        tally.add(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        );
        tally.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 4 filtered out; finished in 1.50s");
        assert_eq!(
            tally,
            Tally {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
    }

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
        assert_eq!(
            counts.stages[0].2,
            Tally {
                passed: 1,
                failed: 1,
                ignored: 0
            }
        );
    }
}
