//! A step of a job: a running process and its outcome.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// The environment variable with the file for the seconds of each connect, which `cargo xtask faults` reads.
const TIMES: &str = "REMOTE_BUILDKIT_TIMES";

/// The outcome of a step.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    /// Standard output and error, as the runner merges them.
    pub(crate) log: String,
    pub(crate) outputs: BTreeMap<String, String>,
    /// How many seconds it ran.
    pub(crate) seconds: f64,
}

impl Outcome {
    pub(crate) fn ok(self) -> Result<Self> {
        ensure!(self.code == Some(0), "exit code {:?}:\n{}", self.code, self.log);
        Ok(self)
    }

    /// Returns an error unless the step failed with this title, a message that contains these words, a remedy, and no outputs.
    pub(crate) fn expect_error(&self, title: &str, words: &[&str]) -> Result<()> {
        let Self { code, log, .. } = self;
        ensure!(*code == Some(1), "{title}: exit code {code:?}: {log}");
        let annotation = format!("::error title={}::", title.replace(':', "%3A"));
        let line = log.lines().find(|l| l.starts_with(&annotation));
        let line = line.with_context(|| format!("no annotation {annotation} in {log}"))?;
        for word in words {
            ensure!(line.contains(word), "{title}: {word:?} is not in {line}");
        }
        // The message has a line for what was tried and came back, and a line for the remedy.
        ensure!(line.contains("%0A"), "{title}: no remedy in {line}");
        ensure!(self.outputs.is_empty(), "{title}: outputs {:?}", self.outputs);
        Ok(())
    }
}

/// Records the seconds of what the test of this thread measures. If it is called several times, the last value counts.
pub(crate) fn record_seconds(seconds: f64) -> Result<()> {
    let (file, thread) = (std::env::var_os(TIMES), std::thread::current());
    if let (Some(file), Some(test)) = (file, thread.name()) {
        let mut file = File::options().create(true).append(true).open(file)?;
        writeln!(file, "{test} {seconds:.1}")?;
    }
    Ok(())
}

/// A running step. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Step {
    child: Child,
    started: Instant,
    lines: mpsc::Receiver<String>,
    log: String,
}

impl Step {
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let (sender, lines) = mpsc::channel();
        send_lines(child.stdout.take().context("stdout is piped")?, sender.clone());
        send_lines(child.stderr.take().context("stderr is piped")?, sender);
        Ok(Self {
            child,
            started,
            lines,
            log: String::new(),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?).context("a pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for a line of the log that contains this text.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.with_context(|| format!("no {text:?} in {}", self.log))?;
            self.log += &line;
            if line.contains(text) {
                return Ok(());
            }
        }
    }

    /// Waits for the process; returns its exit status, log and seconds.
    pub(super) fn wait(mut self) -> Result<(ExitStatus, String, f64)> {
        let status = self.child.wait()?;
        let seconds = self.started.elapsed().as_secs_f64();
        // Not until the streams end: a process that the step left behind may hold them open.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
            self.log += &line;
        }
        Ok((status, std::mem::take(&mut self.log), seconds))
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // Usually it has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send_lines(from: impl Read + Send + 'static, to: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
}
