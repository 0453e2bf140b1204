//! Running buildx. It is a process with children, plugins of docker and of the kubeconfig, in a group of their own that
//! is killed whole: a child that is left behind would hold the job open.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};

use super::install;
use crate::{env, files};

/// What buildx printed.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) succeeded: bool,
    pub(super) stdout: String,
    /// Its progress and errors.
    pub(super) stderr: String,
}

/// Runs buildx to its end, as a job does, or until this is dropped. `store` is the folder that it takes for its own;
/// what it prints goes into files of `folder`, so that nothing waits for a pipe that a child keeps open.
pub(super) async fn run(folder: &Path, store: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    run_in(Path::new("."), folder, store, arguments).await
}

/// The same in a working folder.
pub(super) async fn run_in(
    working: &Path,
    folder: &Path,
    store: &Path,
    arguments: &[&str],
) -> anyhow::Result<Output> {
    let program = install::program()?;
    let path = |name: &str| -> anyhow::Result<PathBuf> {
        Ok(folder.join(format!("{name}-{}", files::random_hex()?)))
    };
    let (stdout, stderr) = (path("stdout")?, path("stderr")?);
    let create = |path: &Path| File::create(path).with_context(|| format!("making {}", path.display()));
    let mut command = Command::new(&program.path);
    command
        .args(program.plugin)
        .args(arguments)
        .current_dir(working)
        .env(env::BUILDX_CONFIG, store)
        .env_remove(env::BUILDX_BUILDER)
        .stdin(Stdio::null())
        .stdout(create(&stdout)?)
        .stderr(create(&stderr)?)
        .process_group(0);
    let child = command
        .spawn()
        .with_context(|| format!("starting {}", program.path.display()))?;
    let status = Group(child).ended().await?;
    let read = |path: &Path| {
        let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        anyhow::Ok(String::from_utf8_lossy(&text).into_owned())
    };
    Ok(Output {
        succeeded: status.success(),
        stdout: read(&stdout)?,
        stderr: read(&stderr)?,
    })
}

/// A child and all of its children.
struct Group(Child);

impl Group {
    /// Waits without a thread that would block, so that it can be given up at any time.
    async fn ended(mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait().context("waiting for buildx")? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its number is the group's. A group that has gone is as it should be.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
