//! Runs the test binary that needs a lab, with one process for each test. So the slow tests start first, and the duration of
//! each test is known. (libtest starts tests in the order of their names, and its `--report-time` is unstable.)

use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::tally::Tally;
use crate::tool::{cargo_test, root, spawn};

/// Modules and tests that take longest, the longest first, by the seconds in docs/design/fault-tests.md and by what they
/// build. They start before all others, so that no long test runs alone at the end. `cargo xtask test` prints the slowest tests.
const SLOW: &[&str] = &[
    "oracle::rebuilt_targets_are_in_the_matrix",
    "stuck::no_node_fits",
    "stages::killed_at_any_moment",
    "remedies::daemon_crashes",
    "oracle::",
    "runner::",
    "remedies::",
    "lifecycle::",
    "isolation::",
    "removed::",
    "expiry::",
    "versions::",
    "stages::",
    "platforms::",
    "stuck::",
    "log::whole::",
];

/// A compiled test binary and the names of its tests.
#[derive(Debug)]
pub(crate) struct TestBinary {
    path: PathBuf,
    tests: Vec<String>,
}

/// The result of a test.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) name: String,
    pub(crate) took: Duration,
    /// What libtest printed, if the test failed.
    failure: Option<String>,
}

impl TestBinary {
    /// Compiles the test target of this name and lists its tests.
    pub(crate) fn build(target: &str) -> Result<Self> {
        let mut build = cargo_test(target);
        build.args(["--no-run", "--message-format=json-render-diagnostics"]);
        let mut child = spawn(build.stdout(Stdio::piped()))?;
        let output = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut path = None;
        for line in output.lines() {
            path = executable(&line?, target).or(path);
        }
        let status = lab::wait(&mut child)?;
        ensure!(status.success(), "could not compile tests/{target}: {status}");
        let path = path.with_context(|| format!("cargo names no executable for tests/{target}"))?;
        let tests = list(&path)?;
        Ok(Self { path, tests })
    }

    /// Runs the chosen tests, so many at the same time, and prints their results as libtest does.
    pub(crate) fn run(
        &self,
        chosen: impl Fn(&str) -> bool,
        threads: usize,
        environment: &[(&str, &str)],
    ) -> Result<(Vec<Finished>, Tally)> {
        let mut names: Vec<&str> = self.tests.iter().map(String::as_str).collect();
        names.retain(|name| chosen(name));
        names.sort_by_key(|name| order(name));
        println!("\nrunning {} tests", names.len());
        let start = Instant::now();
        let finished = Mutex::new(Vec::new());
        let queue = Mutex::new(names.into_iter());
        let worker = || -> Result<()> {
            loop {
                let next = queue.lock().ok().and_then(|mut names| names.next());
                let Some(name) = next else {
                    return Ok(());
                };
                let test = self.run_one(name, environment)?;
                println!("test {name} ... {}", if test.passed() { "ok" } else { "FAILED" });
                finished.lock().expect("no worker panics").push(test);
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
            let results = workers
                .into_iter()
                .map(|worker| worker.join().expect("no worker panics"));
            results.collect::<Result<()>>()
        })?;
        let finished = finished.into_inner().expect("no worker panics");
        let tally = summarize(&finished, self.tests.len(), start.elapsed());
        Ok((finished, tally))
    }

    fn run_one(&self, name: &str, environment: &[(&str, &str)]) -> Result<Finished> {
        let start = Instant::now();
        // A file instead of a pipe: a process that a test left behind may keep a pipe open.
        let mut output = tempfile::tempfile()?;
        let mut command = Command::new(&self.path);
        command
            .args(["--exact", name])
            .envs(environment.iter().copied())
            .env("CARGO_MANIFEST_DIR", root())
            .current_dir(root())
            .stdout(output.try_clone()?);
        let status = lab::wait(&mut spawn(&mut command)?)?;
        let took = start.elapsed();
        output.rewind()?;
        let mut text = Vec::new();
        output.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let passed = status.success() && text.contains("test result: ok. 1 passed");
        Ok(Finished {
            name: name.to_owned(),
            took,
            failure: (!passed).then(|| format!("{status}\n{text}")),
        })
    }
}

impl Finished {
    fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

/// Prints the failures and the closing line, in libtest's format.
fn summarize(finished: &[Finished], of: usize, took: Duration) -> Tally {
    let failures = || {
        finished
            .iter()
            .filter_map(|test| Some((&test.name, test.failure.as_ref()?)))
    };
    for (name, output) in failures() {
        println!("\n---- {name}: {output}");
    }
    if failures().next().is_some() {
        println!("\nfailures:");
        failures().for_each(|(name, _)| println!("    {name}"));
    }
    let tally = Tally {
        passed: finished.iter().filter(|test| test.passed()).count(),
        failed: failures().count(),
        ignored: 0,
    };
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if tally.failed == 0 { "ok" } else { "FAILED" },
        tally.passed,
        tally.failed,
        of - finished.len(),
        took.as_secs_f64()
    );
    tally
}

/// Returns the path in cargo's message about the executable of a test target.
fn executable(message: &str, target: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message["target"]["name"] == target && message["target"]["kind"][0] == "test";
    let path = message["executable"].as_str().filter(|_| is_it)?;
    Some(path.into())
}

fn list(binary: &Path) -> Result<Vec<String>> {
    let mut list = Command::new(binary);
    let output = list.args(["--list", "--format", "terse"]).output()?;
    ensure!(output.status.success(), "could not list the tests of {binary:?}");
    let text = String::from_utf8(output.stdout)?;
    let names: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .map(str::to_owned)
        .collect();
    ensure!(!names.is_empty(), "{binary:?} has no tests: {text}");
    Ok(names)
}

/// The slow tests first, then by name.
fn order(name: &str) -> (usize, &str) {
    let slow = SLOW.iter().position(|prefix| name.starts_with(prefix));
    (slow.unwrap_or(SLOW.len()), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a script in place of a test binary: one test passes, one fails, and one does not run.
    fn binary(dir: &Path) -> Result<TestBinary> {
        let path = dir.join("tests");
        let script = "#!/bin/sh
case $1,$2 in
--list,*) printf 'a::passes: test\\nb::fails: test\\nc::is_absent: test\\n' ;;
*,a::passes) echo 'test result: ok. 1 passed; 0 failed' ;;
*,b::fails) echo 'it broke'; exit 101 ;;
*) echo 'test result: ok. 0 passed; 0 failed' ;;
esac
";
        // Written by another process: if a test of this process forked while the file is open, exec would fail (ETXTBSY).
        let write = r#"printf %s "$1" > "$2" && chmod +x "$2""#;
        let status = Command::new("sh")
            .args(["-c", write, "sh", script])
            .arg(&path)
            .status()?;
        ensure!(status.success(), "could not write {path:?}");
        let tests = list(&path)?;
        Ok(TestBinary { path, tests })
    }

    #[test]
    fn a_test_that_did_not_run_has_failed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (finished, tally) = binary(dir.path())?.run(|_| true, 2, &[])?;
        let expected = Tally {
            passed: 1,
            failed: 2,
            ignored: 0,
        };
        assert_eq!(tally, expected);
        let failed = finished
            .iter()
            .find(|test| test.name == "b::fails")
            .context("it ran")?;
        assert!(
            failed
                .failure
                .as_ref()
                .is_some_and(|output| output.contains("it broke"))
        );
        Ok(())
    }

    #[test]
    fn only_the_chosen_tests_run() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (finished, tally) = binary(dir.path())?.run(|name| name.starts_with("a::"), 1, &[])?;
        assert_eq!((finished.len(), tally.passed, tally.failed), (1, 1, 0));
        Ok(())
    }

    #[test]
    fn slow_tests_start_first() {
        let mut names = ["agents::a", "stuck::b", "stuck::no_node_fits", "adopt::a"];
        names.sort_by_key(|name| order(name));
        assert_eq!(
            names,
            ["stuck::no_node_fits", "stuck::b", "adopt::a", "agents::a"]
        );
    }

    #[test]
    fn the_executable_is_that_of_the_target() {
        let message = |name: &str, kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["{kind}"]}},"executable":"/x"}}"#
            )
        };
        assert_eq!(executable(&message("lab", "test"), "lab"), Some("/x".into()));
        assert_eq!(executable(&message("lab", "lib"), "lab"), None);
        assert_eq!(executable(&message("integration", "test"), "lab"), None);
        assert_eq!(executable("not JSON", "lab"), None);
    }
}
