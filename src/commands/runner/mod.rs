//! `runner`: a machine whose jobs build remotely without a step of theirs. In two halves: whoever runs it installs
//! programs; then the program that was installed makes, as the runner's user, that user's permanent builder.

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

pub fn run(args: &RunnerArgs) -> anyhow::Result<ExitCode> {
    match inputs::runner(args)? {
        Runner::Prepare(machine) if args.installed => {
            let user = User::wanted(machine.programs.user.as_deref())?;
            builder::keep(*machine, &user)?;
        }
        Runner::Prepare(machine) => return prepare(&machine),
        Runner::Install(programs) => {
            let user = User::wanted(programs.user.as_deref())?;
            install(&programs, &user)?;
        }
        Runner::Remove { user } if args.installed => builder::remove(&User::wanted(user.as_deref())?)?,
        Runner::Remove { user } => return remove(&User::wanted(user.as_deref())?),
    }
    Ok(ExitCode::SUCCESS)
}

fn prepare(machine: &Machine) -> anyhow::Result<ExitCode> {
    let user = User::wanted(machine.programs.user.as_deref())?;
    let ready = machine.registration.as_ref().map(register::ready).transpose()?;
    let program = install(&machine.programs, &user)?;
    let (Some(registration), Some(ready)) = (&machine.registration, ready) else {
        return Err(second_half(&user, &program)?);
    };
    let status = user.status(&mut as_second_half(&user, &program))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let until = Instant::now() + machine.plan.timeout;
    Err(register::start(registration, ready, &user, until))
}

/// What the user finds afterwards. Returns where this program is then.
fn install(programs: &Programs, user: &User) -> anyhow::Result<PathBuf> {
    let places = Places::of_caller(user);
    let _lock = Lock::of(&places.lock)?;
    programs::install(&places, user, programs)
}

/// The builder first, while the program is there; then what nobody else has a use for.
fn remove(user: &User) -> anyhow::Result<ExitCode> {
    let places = Places::of_caller(user);
    let own = std::env::current_exe().context("finding this program's own path")?;
    let installed = Some(places.program()).filter(|program| program.exists());
    let program = installed.unwrap_or(own);
    let status = user.status(&mut as_second_half(user, &program))?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let _lock = Lock::of(&places.lock)?;
    let record = Record::read(&places.record)?;
    if record.is_empty() {
        say("Programs: none of them is ours");
    } else if programs::forget(record, user)? {
        say("Programs: removed, as far as they were installed here");
    } else {
        say("Programs: other users of this machine have a use for them");
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the second half in the place of this process, so that a signal reaches it. Returns only if that fails.
fn second_half(user: &User, program: &Path) -> anyhow::Result<anyhow::Error> {
    let mut command = as_second_half(user, program);
    output::finish();
    let error = user.become_it(&mut command);
    Ok(error.context(format!("starting {} as {}", program.display(), user.name)))
}

/// The same command line once more.
fn as_second_half(user: &User, program: &Path) -> Command {
    let mut command = user.command(program);
    command
        .env(env::PATH, programs::path(&Places::of_caller(user)))
        .args(std::env::args_os().skip(1))
        .arg("--installed")
        .stdin(Stdio::null());
    command
}
