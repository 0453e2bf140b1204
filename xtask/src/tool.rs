//! Runs cargo and other programs in the repository's root.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lab::progress::seconds;

pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command
}

/// Returns the command `cargo test` for one test target. It selects the whole workspace: with the features of one package,
/// cargo would build the dependencies a second time.
pub(crate) fn cargo_test(target: &str) -> Command {
    cargo(&["test", "--workspace", "--locked", "--test", target])
}

/// Runs a command, shows its output and prints how long it took. A signal to this process ends it.
pub(crate) fn stage(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("== {name}");
    let start = Instant::now();
    let mut child = spawn(command)?;
    let status = lab::wait(&mut child)?;
    ensure!(status.success(), "{name} failed: {status}");
    eprintln!("== {name}: {}", seconds(start.elapsed()));
    Ok(())
}

/// Starts a command in its own process group: a signal must end all its processes, and `lab::wait` passes Ctrl-C on.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command
        .process_group(0)
        .spawn()
        .with_context(|| format!("could not start {command:?}"))
}
