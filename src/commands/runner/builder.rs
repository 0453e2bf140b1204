//! The permanent builder of a user: what connect makes for a job, in a folder that stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::programs;
use crate::buildx::{self, Store};
use crate::commands::connect::{Connection, connect_with_deadline};
use crate::commands::guard::{self, Guard};
use crate::commands::job_state::JobState;
use crate::commands::registries;
use crate::docker::{self, Docker, Logins, Setting};
use crate::files;
use crate::inputs::{Machine, Plan};
use crate::machine::{Lock, Places, Record, User, folder_of};
use crate::report::{Report, say};

/// Makes it, or brings it up to date; where that fails, what was there before stays.
pub(super) fn keep(machine: Machine, user: &User) -> anyhow::Result<()> {
    let places = Places::of_user(user);
    let _lock = Lock::of(&places.lock)?;
    // One of the user's own may be in the way of the machine's.
    programs::buildx_in_the_way(&places, user, &machine.programs)?;
    buildx::check_installed()?;
    Store::writable()?;
    Docker::of_user()?.check()?;
    let plan = Arc::new(machine.plan);
    guard::block_on(run_async(plan, user.clone()))
}

async fn run_async(plan: Arc<Plan>, user: User) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let folder = folder_of(&user);
    let mut record = Record::read(&record_in(&folder))?;
    let is_first = record.is_empty();
    record.folder(&folder, 0o700)?;
    let docker = docker::folder().context("looking for docker's folder: HOME is not set")?;
    record.folder(&docker, 0o700)?;
    record.folder(&Store::root()?, 0o700)?;
    let selection = Arc::new(JobState::for_machine(folder, &plan.agents.spec.name)?);
    let before = Before::of(&selection)?;
    let logins = selection.logins();
    if logins.exists() {
        // A login that a job gave is not for the jobs after this.
        Logins::read(&logins).asked_only().write(&logins)?;
    }
    let at_the_end = |store: &Store, connection: Connection, report: &Report| {
        select(&plan, &selection, store, connection, report)
    };
    let kept = connect_with_deadline(&mut guard, &plan, &selection, at_the_end).await;
    if kept.is_err() {
        // What the failure was matters more than what becomes of this.
        let undone = if is_first { undo(&user) } else { before.restore() };
        if let Err(error) = undone {
            say(&format!("could not clean up: {error:#}"));
        }
    }
    kept
}

fn select(
    plan: &Plan,
    selection: &JobState,
    store: &Store,
    connection: Connection,
    report: &Report,
) -> anyhow::Result<()> {
    let kubeconfig = selection.kubeconfig();
    let builder = connection.builder(plan, &selection.builder);
    store.of_ours(&builder.name, &kubeconfig)?;
    let mut settings = registries::settings(&connection.registries);
    settings.push(Setting::Build);
    registries::name_in_config(selection, settings)?;
    for other in store.builders_of(&kubeconfig) {
        if other != builder.name {
            store.remove(&other, &kubeconfig)?;
            Report::detail(&format!("builder {other} is removed"));
        }
    }
    let is_new = store.keep(&builder, &kubeconfig)?;
    let how = if is_new {
        "is selected"
    } else {
        "was there already"
    };
    report.done(&format!(
        "Builder {} {how}, for every job of this user",
        builder.name
    ));
    Ok(())
}

/// Takes it away, and everything that was made for it.
pub(super) fn remove(user: &User) -> anyhow::Result<()> {
    let _lock = Lock::of(&Places::of_user(user).lock)?;
    undo(user)
}

fn undo(user: &User) -> anyhow::Result<()> {
    let folder = folder_of(user);
    let record = Record::read(&record_in(&folder))?;
    if record.is_empty() {
        say("Builder: there is none for this user");
        return programs::remove_in_the_way(user);
    }
    let selection = JobState::without_builder(folder.clone());
    if let Some(store) = Store::existing()? {
        let kubeconfig = selection.kubeconfig();
        for name in store.builders_of(&kubeconfig) {
            store.remove(&name, &kubeconfig)?;
            say(&format!("Builder {name}: removed; the agent and its cache stay"));
        }
        if record.has_made(&Store::root()?) {
            store.remove_unused()?;
        }
    }
    let docker = Docker::of_user()?;
    docker.unregister(&folder)?;
    if docker::folder().is_some_and(|docker| record.has_made(&docker)) {
        docker.remove_leftovers()?;
    }
    for file in [selection.kubeconfig(), selection.session(), selection.logins()] {
        files::remove(&file)?;
    }
    record.undo()?;
    programs::remove_in_the_way(user)
}

fn record_in(folder: &Path) -> PathBuf {
    folder.join("builder.json")
}

/// The files by which the builder worked until now.
struct Before(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Before {
    fn of(selection: &JobState) -> anyhow::Result<Self> {
        let files = [selection.kubeconfig(), selection.session(), selection.logins()];
        let files = files.into_iter().map(|path| {
            let content = match std::fs::read(&path) {
                Ok(content) => Some(content),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
                Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            };
            Ok((path, content))
        });
        Ok(Self(files.collect::<anyhow::Result<_>>()?))
    }

    fn restore(self) -> anyhow::Result<()> {
        for (path, content) in self.0 {
            match content {
                Some(content) => files::write_private(&path, &content)?,
                None => files::remove(&path)?,
            }
        }
        Ok(())
    }
}
