//! The user phase of `runner`: creates or removes the user's permanent builder, with the files that `connect` creates for a
//! job, in a directory that stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::programs;
use crate::buildx::{self, Store};
use crate::commands::connect::{Connection, connect_with_deadline};
use crate::commands::guard::{self, Guard};
use crate::commands::job_state::JobState;
use crate::commands::registries;
use crate::docker::{self, CredentialCache, DockerConfig, Setting};
use crate::files;
use crate::inputs::{MachineSetup, Plan};
use crate::machine::{InstallManifest, InstallPaths, MachineLock, User, config_dir};
use crate::report::{Report, say};

/// Creates or updates the builder. If that fails, an existing builder stays as it was.
pub(super) fn create_or_update(machine: MachineSetup, user: &User) -> anyhow::Result<()> {
    let paths = InstallPaths::of_user(user);
    let _lock = MachineLock::acquire(&paths.lock)?;
    // docker prefers the user's own plugin to the machine's.
    programs::replace_own_buildx(&paths, user, &machine.programs)?;
    buildx::check_installed()?;
    Store::writable()?;
    DockerConfig::of_user()?.check()?;
    let plan = Arc::new(machine.plan);
    guard::block_on(create_interruptible(plan, user.clone()))
}

async fn create_interruptible(plan: Arc<Plan>, user: User) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let folder = config_dir(&user);
    let mut manifest = InstallManifest::read(&manifest_path(&folder))?;
    let is_first = manifest.is_empty();
    manifest.create_dir(&folder, 0o700)?;
    let docker = docker::dir().context("finding docker's directory: HOME is not set")?;
    manifest.create_dir(&docker, 0o700)?;
    manifest.create_dir(&Store::root()?, 0o700)?;
    let selection = Arc::new(JobState::for_machine(folder, &plan.agents.spec.name)?);
    let backup = Backup::read(&selection)?;
    let logins = selection.logins();
    if logins.exists() {
        // A `docker login` of an earlier job must not be used by later jobs.
        CredentialCache::read(&logins).without_stored().write(&logins)?;
    }
    let on_connected = |store: &Store, connection: Connection, report: &Report| {
        select(&plan, &selection, store, connection, report)
    };
    let created = connect_with_deadline(&mut guard, &plan, &selection, on_connected).await;
    if created.is_err() {
        // The first failure is the one to report.
        let undone = if is_first { undo(&user) } else { backup.restore() };
        if let Err(error) = undone {
            say(&format!("Cannot clean up: {error:#}"));
        }
    }
    created
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
    store.find_own(&builder.name, &kubeconfig)?;
    let mut settings = registries::settings(&connection.registries);
    settings.push(Setting::Build);
    registries::add_to_config(selection, settings)?;
    for other in store.builders_of(&kubeconfig) {
        if other != builder.name {
            store.remove(&other, &kubeconfig)?;
            Report::detail(&format!("removed builder {other}"));
        }
    }
    let changed = store.set_permanent(&builder, &kubeconfig)?;
    let status = if changed { "selected" } else { "unchanged" };
    report.done(&format!(
        "Builder {}: {status}, for every job of this user",
        builder.name
    ));
    Ok(())
}

/// Removes the builder, and everything that was created for it.
pub(super) fn remove(user: &User) -> anyhow::Result<()> {
    let _lock = MachineLock::acquire(&InstallPaths::of_user(user).lock)?;
    undo(user)
}

fn undo(user: &User) -> anyhow::Result<()> {
    let folder = config_dir(user);
    let manifest = InstallManifest::read(&manifest_path(&folder))?;
    if manifest.is_empty() {
        say("Builder: this user has none");
        return programs::restore_own_buildx(user);
    }
    let selection = JobState::without_builder(folder.clone());
    if let Some(store) = Store::existing()? {
        let kubeconfig = selection.kubeconfig();
        for name in store.builders_of(&kubeconfig) {
            store.remove(&name, &kubeconfig)?;
            say(&format!(
                "Builder {name}: removed; the agent and its cache are kept"
            ));
        }
        if manifest.created(&Store::root()?) {
            store.remove_unused()?;
        }
    }
    let docker = DockerConfig::of_user()?;
    docker.release(&folder)?;
    if docker::dir().is_some_and(|docker| manifest.created(&docker)) {
        docker.remove_leftovers()?;
    }
    for file in [selection.kubeconfig(), selection.session(), selection.logins()] {
        files::remove(&file)?;
    }
    manifest.undo()?;
    programs::restore_own_buildx(user)
}

fn manifest_path(folder: &Path) -> PathBuf {
    folder.join("builder.json")
}

/// The contents of an existing builder's files.
struct Backup(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Backup {
    fn read(selection: &JobState) -> anyhow::Result<Self> {
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
