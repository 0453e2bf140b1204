//! Runs git in a clone.

use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, anyhow, ensure};

use crate::env;

/// The output of git.
pub(super) struct GitOutput {
    pub(super) succeeded: bool,
    pub(super) stdout: Vec<u8>,
    stderr: String,
}

/// Why git has no output.
#[derive(Debug, thiserror::Error)]
pub(super) enum GitError {
    #[error("git is not installed")]
    NotInstalled,
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// The most bytes of output. A line of a tree has about 150, so this suffices for three million files.
const MAX_OUTPUT: u64 = 512 << 20;
/// The most bytes of an error message.
const MAX_ERROR: u64 = 16 << 10;

/// The variables that are passed on: where git is, and the settings of the machine and the user.
const PASSED_VARIABLES: [&str; 4] = [
    "GIT_EXEC_PATH",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
];

/// A clone with a working tree.
#[derive(Debug, Clone)]
pub struct Git {
    pub(super) top: PathBuf,
    /// The directory `.git`, or the file of that name in a linked working tree or a submodule.
    pub(super) git_dir: PathBuf,
}

impl Git {
    /// Runs git and waits for it.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<GitOutput, GitError> {
        let mut command = Command::new("git");
        // Other variables may refer to another repository.
        for name in env::beginning_with("GIT_") {
            if !PASSED_VARIABLES.iter().any(|passed| name == *passed) {
                command.env_remove(name);
            }
        }
        command
            .args(["--no-pager", "--no-replace-objects", "--literal-pathspecs"])
            // Otherwise git would run a program that the repository names.
            .args(["-c", "core.fsmonitor="])
            .args(arguments)
            .current_dir(&self.top)
            .env("GIT_DIR", &self.git_dir)
            .env("GIT_WORK_TREE", &self.top)
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Otherwise a partial clone would fetch missing objects; git before 2.45 has no other way to prevent that.
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let context = || format!("running git {}", arguments.join(" "));
        let mut child = match command.spawn() {
            // The same error means that the directory no longer exists.
            Err(error) if error.kind() == ErrorKind::NotFound && self.top.is_dir() => {
                return Err(GitError::NotInstalled);
            }
            spawned => spawned.with_context(context)?,
        };
        let read = read(&mut child);
        if read.is_err() {
            // git may wait forever for its output to be read.
            let _ = child.kill();
        }
        let status = child.wait().with_context(context)?;
        let (stdout, stderr) = read.with_context(context)?;
        Ok(GitOutput {
            succeeded: status.success(),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }

    /// Runs git and returns its output, or an error if it failed.
    pub(super) fn checked(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let output = self.output(arguments)?;
        if !output.succeeded {
            let error = anyhow!("git {} failed: {}", arguments.join(" "), output.stderr);
            return Err(error.into());
        }
        Ok(output.stdout)
    }

    /// Runs git and returns its output as text, without the final newline.
    pub(super) fn lines(&self, arguments: &[&str]) -> Result<String, GitError> {
        let output = self.checked(arguments)?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }
}

/// Reads standard output and standard error at the same time, because git blocks on a full pipe.
fn read(child: &mut Child) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let stdout = child.stdout.take().context("git has no standard output")?;
    let stderr = child.stderr.take().context("git has no standard error")?;
    std::thread::scope(|scope| {
        let error = scope.spawn(move || read_limited(stderr, MAX_ERROR, true));
        let printed = read_limited(stdout, MAX_OUTPUT, false)?;
        let error = error.join().unwrap_or_else(|_| Ok(Vec::new()))?;
        Ok((printed, error))
    })
}

/// Reads to the end. Output beyond the limit is dropped if `truncate` is set, and an error otherwise.
fn read_limited(mut from: impl Read, limit: u64, truncate: bool) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.by_ref().take(limit).read_to_end(&mut bytes)?;
    let more = io::copy(
        &mut from.by_ref().take(if truncate { u64::MAX } else { 1 }),
        &mut io::sink(),
    )?;
    ensure!(truncate || more == 0, "git printed more than {limit} bytes");
    Ok(bytes)
}
