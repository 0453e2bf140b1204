//! Running git.

use std::io::{self, ErrorKind, Read};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::Git;
use crate::env;

/// What git printed.
pub(super) struct Output {
    pub(super) succeeded: bool,
    pub(super) stdout: Vec<u8>,
    stderr: String,
}

/// In bytes. A line of a tree has about 150, so this is a repository of three million files.
const LONGEST: u64 = 512 << 20;
/// Of what it says of an error.
const LONGEST_ERROR: u64 = 16 << 10;

/// Where git is, and the settings of the machine and the user.
const SETUP: [&str; 4] = [
    "GIT_EXEC_PATH",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
];

impl Git {
    /// Runs git to its end.
    pub(super) fn output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new("git");
        // Of the variables that mean something to it, none is for this repository but how git itself is set up.
        for name in env::beginning_with("GIT_") {
            if !SETUP.iter().any(|setup| name == *setup) {
                command.env_remove(name);
            }
        }
        command
            .args(["--no-pager", "--no-replace-objects", "--literal-pathspecs"])
            // It would run a program that the repository names.
            .args(["-c", "core.fsmonitor="])
            .args(arguments)
            .current_dir(&self.top)
            .env("GIT_DIR", &self.directory)
            .env("GIT_WORK_TREE", &self.top)
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            // A partial clone would fetch what it lacks; before 2.45 git knows no better way to forbid that.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let what = || format!("running git {}", arguments.join(" "));
        let mut child = command.spawn().with_context(what)?;
        let read = read(&mut child);
        if read.is_err() {
            // It may wait for a reader for ever.
            let _ = child.kill();
        }
        let status = child.wait().with_context(what)?;
        let (stdout, stderr) = read.with_context(what)?;
        Ok(Output {
            succeeded: status.success(),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }

    /// What it printed, if it succeeded.
    pub(super) fn checked(&self, arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = self.output(arguments)?;
        if !output.succeeded {
            bail!("git {} failed: {}", arguments.join(" "), output.stderr);
        }
        Ok(output.stdout)
    }

    /// The same as text, without its end of line.
    pub(super) fn lines(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.checked(arguments)?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }
}

/// Both at once: git waits where a pipe is full.
fn read(child: &mut Child) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let stdout = child.stdout.take().context("git has no standard output")?;
    let stderr = child.stderr.take().context("git has no standard error")?;
    std::thread::scope(|scope| {
        let said = scope.spawn(move || bounded(stderr, LONGEST_ERROR, true));
        let printed = bounded(stdout, LONGEST, false)?;
        let said = said.join().unwrap_or_else(|_| Ok(Vec::new()))?;
        Ok((printed, said))
    })
}

/// Reads to the end. What is beyond the limit is left out, or an error.
fn bounded(mut from: impl Read, limit: u64, leave_out: bool) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.by_ref().take(limit).read_to_end(&mut bytes)?;
    let more = io::copy(
        &mut from.by_ref().take(if leave_out { u64::MAX } else { 1 }),
        &mut io::sink(),
    )?;
    ensure!(leave_out || more == 0, "it printed more than {limit} bytes");
    Ok(bytes)
}

pub(super) fn is_not_installed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::NotFound)
}
