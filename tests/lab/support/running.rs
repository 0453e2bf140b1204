//! A step under way, whose log is read as it is written.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::{Outcome, Runner};

#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: String,
}

impl Running {
    pub(crate) fn start(runner: &Runner, mut command: Command) -> Result<Self> {
        runner.begin()?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = child.spawn()?;
        let stdout = child.stdout.take().context("stdout")?;
        Ok(Self {
            child,
            stdout: BufReader::new(stdout),
            log: String::new(),
        })
    }

    /// Returns when a line has these words.
    pub(crate) fn until(&mut self, words: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line)?;
            anyhow::ensure!(read > 0, "it ended before it said {words:?}: {}", self.log);
            self.log += &line;
            if line.contains(words) {
                return Ok(());
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("a pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits for its end. The runner takes over what it exported.
    pub(crate) fn end(&mut self, runner: &mut Runner) -> Result<Outcome> {
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest)?;
        let code = self.child.wait()?.code();
        Ok(Outcome {
            code,
            log: format!("{}{}", self.log, String::from_utf8_lossy(&rest)),
            outputs: runner.take_over()?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
