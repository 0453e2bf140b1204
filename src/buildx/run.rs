//! Runs buildx. buildx and its child processes (docker's plugins and the kubeconfig's credential plugins) run in a
//! separate process group, which is killed as a whole, because a remaining child would keep the job from ending.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};

use super::install::{self, Program};
use crate::{env, files};

/// The result and the output of a buildx command.
#[derive(Debug)]
pub(super) struct BuildxOutput {
    pub(super) succeeded: bool,
    pub(super) stdout: String,
    /// The progress and the errors.
    pub(super) stderr: String,
}

/// Runs buildx as a job does. If the future is dropped, buildx is killed. `store` is buildx's directory. The output
/// is written to files in `dir`, so that nothing waits for a pipe that a child process keeps open.
pub(super) async fn run(dir: &Path, store: &Path, arguments: &[&str]) -> anyhow::Result<BuildxOutput> {
    run_in(Path::new("."), dir, store, arguments).await
}

/// Runs buildx like [`run`], but in this working directory.
pub(super) async fn run_in(
    working_dir: &Path,
    dir: &Path,
    store: &Path,
    arguments: &[&str],
) -> anyhow::Result<BuildxOutput> {
    run_program(&install::program()?, working_dir, dir, store, arguments).await
}

/// Runs this program like [`run_in`].
pub(super) async fn run_program(
    program: &Program,
    working_dir: &Path,
    dir: &Path,
    store: &Path,
    arguments: &[&str],
) -> anyhow::Result<BuildxOutput> {
    let path =
        |name: &str| -> anyhow::Result<PathBuf> { Ok(dir.join(format!("{name}-{}", files::random_hex()?))) };
    let (stdout, stderr) = (path("stdout")?, path("stderr")?);
    let create = |path: &Path| File::create(path).with_context(|| format!("creating {}", path.display()));
    let mut command = Command::new(&program.path);
    command
        .args(program.plugin)
        .args(arguments)
        .current_dir(working_dir)
        .env(env::BUILDX_CONFIG, store)
        .env_remove(env::BUILDX_BUILDER)
        .stdin(Stdio::null())
        .stdout(create(&stdout)?)
        .stderr(create(&stderr)?)
        .process_group(0);
    let child = command
        .spawn()
        .with_context(|| format!("starting {}", program.path.display()))?;
    let status = ProcessGroup(child).wait().await?;
    let read = |path: &Path| {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        anyhow::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    Ok(BuildxOutput {
        succeeded: status.success(),
        stdout: read(&stdout)?,
        stderr: read(&stderr)?,
    })
}

/// A child process and its process group, which is killed on drop.
struct ProcessGroup(Child);

impl ProcessGroup {
    /// Waits until the child process ends, without blocking a thread, so that the future can be dropped at any time.
    async fn wait(mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait().context("waiting for buildx")? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // The process ID of the child is also the ID of the group. A group that has already ended is not an error.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
