//! `runner`: sets up a machine so that its jobs build remotely without a workflow step. It has two phases: the caller, as a
//! rule root, installs programs; then the installed program runs again as the runner's user (`--as-user`) and creates that
//! user's permanent builder.

mod builder;
mod programs;
mod register;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::cli::RunnerArgs;
use crate::inputs::{self, Machine, Programs, Runner};
use crate::machine::{Lock, Places, Record, User};
use crate::report::say;
use crate::{env, output};

/// Runs the command.
pub fn run(args: &RunnerArgs) -> anyhow::Result<ExitCode> {
    match inputs::runner(args)? {
        Runner::Prepare(machine) if args.as_user => {
            let user = User::wanted(machine.programs.user.as_deref())?;
            builder::keep(*machine, &user)?;
        }
        Runner::Prepare(machine) => return prepare(&machine),
        Runner::Install(programs) => {
            let user = User::wanted(programs.user.as_deref())?;
            install(&programs, &user)?;
        }
        Runner::Remove { user } if args.as_user => builder::remove(&User::wanted(user.as_deref())?)?,
        Runner::Remove { user } => return remove(&User::wanted(user.as_deref())?),
    }
    Ok(ExitCode::SUCCESS)
}

fn prepare(machine: &Machine) -> anyhow::Result<ExitCode> {
    let user = User::wanted(machine.programs.user.as_deref())?;
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
    let places = Places::of_caller(user);
    let _lock = Lock::of(&places.lock)?;
    programs::install(&places, user, programs)
}

/// Undoes the setup: first the user's builder, which needs the installed program, then the programs, if no other user of the
/// machine needs them.
fn remove(user: &User) -> anyhow::Result<ExitCode> {
    let places = Places::of_caller(user);
    let own = std::env::current_exe().context("finding this program's own path")?;
    let installed = Some(places.program()).filter(|program| program.exists());
    let program = installed.unwrap_or(own);
    let status = user.status(&mut user_phase(user, &program))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let _lock = Lock::of(&places.lock)?;
    let record = Record::read(&places.record)?;
    if record.is_empty() {
        say("Programs: none were installed by remote-buildkit");
    } else if programs::forget(record, user)? {
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
    let error = user.become_it(&mut command);
    Ok(error.context(format!("starting {} as {}", program.display(), user.name)))
}

/// Returns the command of the user phase: this command line with `--as-user`.
fn user_phase(user: &User, program: &Path) -> Command {
    let mut command = user.command(program);
    command
        .env(env::PATH, programs::path(&Places::of_caller(user)))
        .args(std::env::args_os().skip(1))
        .arg("--as-user")
        .stdin(Stdio::null());
    command
}
