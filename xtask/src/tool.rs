//! Running cargo and others from the repository's root.

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

/// Those of tests/ that are no targets of `all`. Of the whole workspace: with the features of one package alone, its dependencies would be built a second time.
pub(crate) fn test_binary(target: &str) -> Command {
    cargo(&["test", "--workspace", "--locked", "--test", target])
}

/// Runs a stage with its output shown, and says how long it took. A signal to us ends it.
pub(crate) fn stage(name: &str, command: &mut Command) -> Result<()> {
    eprintln!("== {name}");
    let start = Instant::now();
    let mut child = spawn(command)?;
    let status = lab::wait(&mut child)?;
    ensure!(status.success(), "{name} failed: {status}");
    eprintln!("== {name}: {}", seconds(start.elapsed()));
    Ok(())
}

/// A group of its own: what a signal has to end is the whole of it, and Ctrl-C is for us to pass on.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command
        .process_group(0)
        .spawn()
        .with_context(|| format!("could not start {command:?}"))
}
