//! `runner`: sets up a machine so that its jobs build remotely without a workflow step. It has two phases: the
//! caller, usually root, installs programs; then the installed program runs again as the runner's user
//! (`--as-user`) and creates that user's permanent builder.

mod builder;
mod programs;
mod register;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::cli::RunnerArgs;
use crate::error_code::ErrorCode;
use crate::inputs::{self, MachineSetup, Programs, RunnerOperation};
use crate::machine::{InstallManifest, InstallPaths, MachineLock, User};
use crate::problem::Problem;
use crate::report::say;
use crate::{env, output};

/// Runs the command.
pub fn run(args: &RunnerArgs) -> anyhow::Result<ExitCode> {
    if std::env::consts::OS != "linux" {
        return Err(only_for_linux(std::env::consts::OS).into());
    }
    match inputs::runner(args)? {
        RunnerOperation::Prepare(machine) if args.as_user => {
            let user = User::resolve(machine.programs.user.as_deref())?;
            builder::create_or_update(*machine, &user)?;
        }
        RunnerOperation::Prepare(machine) => return prepare(&machine),
        RunnerOperation::Install(programs) => {
            let user = User::resolve(programs.user.as_deref())?;
            install(&programs, &user)?;
        }
        RunnerOperation::Remove { user } if args.as_user => {
            builder::remove(&User::resolve(user.as_deref())?)?
        }
        RunnerOperation::Remove { user } => return remove(&User::resolve(user.as_deref())?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the error on an operating system without what `runner` sets up.
fn only_for_linux(system: &str) -> Problem {
    Problem::new(
        ErrorCode::OnlyForLinux,
        format!("runner sets up Linux machines, and this is {system}. Nothing was changed."),
        "Run it on the Linux machine that runs the jobs. To build from this machine, use `remote-buildkit connect`.",
    )
}

/// Sets up the machine, and registers and starts the GitHub runner if that is requested.
fn prepare(machine: &MachineSetup) -> anyhow::Result<ExitCode> {
    let user = User::resolve(machine.programs.user.as_deref())?;
    let prepared = machine.registration.as_ref().map(register::prepare).transpose()?;
    let program = install(&machine.programs, &user)?;
    let (Some(registration), Some(prepared)) = (&machine.registration, prepared) else {
        return Err(exec_user_phase(&user, &program)?);
    };
    let status = user.status(&mut user_phase(&user, &program))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let until = Instant::now() + machine.plan.timeout;
    Err(register::start(registration, prepared, &user, until))
}

/// Installs buildx and this program. Returns the path of the installed program.
fn install(programs: &Programs, user: &User) -> anyhow::Result<PathBuf> {
    let paths = InstallPaths::of_caller(user);
    let _lock = MachineLock::acquire(&paths.lock)?;
    programs::install(&paths, user, programs)
}

/// Undoes the setup: first the user's builder, which needs the installed program, then the programs, if no other user
/// of the machine needs them.
fn remove(user: &User) -> anyhow::Result<ExitCode> {
    let paths = InstallPaths::of_caller(user);
    let own = std::env::current_exe().context("finding this program's own path")?;
    let installed = Some(paths.program()).filter(|program| program.exists());
    let program = installed.unwrap_or(own);
    let status = user.status(&mut user_phase(user, &program))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let _lock = MachineLock::acquire(&paths.lock)?;
    let manifest = InstallManifest::read(&paths.manifest)?;
    if manifest.is_empty() {
        say("Programs: none were installed by remote-buildkit");
    } else if programs::remove_user(manifest, user)? {
        say("Programs: removed those that remote-buildkit installed");
    } else {
        say("Programs: kept for other users of this machine");
    }
    Ok(ExitCode::SUCCESS)
}

/// Replaces this process with the user phase, so that it receives signals. Returns only on failure.
fn exec_user_phase(user: &User, program: &Path) -> anyhow::Result<anyhow::Error> {
    let mut command = user_phase(user, program);
    output::finish();
    let error = user.exec(&mut command);
    Ok(error.context(format!("starting {} as {}", program.display(), user.name)))
}

/// Returns the command of the user phase: this command line with `--as-user`.
fn user_phase(user: &User, program: &Path) -> Command {
    let mut command = user.command(program);
    command
        .env(env::PATH, programs::search_path(&InstallPaths::of_caller(user)))
        .args(std::env::args_os().skip(1))
        .arg("--as-user")
        .stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_another_operating_system() {
        insta::assert_snapshot!(only_for_linux("macos"));
    }
}
