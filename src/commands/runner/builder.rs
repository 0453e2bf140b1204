//! The user phase of `runner`: creates or removes the user's permanent builder, with the files that `connect` creates
//! for a job, in a directory that stays.

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

/// Creates the builder. A signal interrupts it, and the cleanup follows.
async fn create_interruptible(plan: Arc<Plan>, user: User) -> anyhow::Result<()> {
    let mut guard = Guard::listen()?;
    let dir = config_dir(&user);
    let mut manifest = InstallManifest::read(&manifest_path(&dir))?;
    let is_first = manifest.is_empty();
    manifest.create_dir(&dir, 0o700)?;
    let docker_dir = docker::dir().context("finding docker's directory: HOME is not set")?;
    manifest.create_dir(&docker_dir, 0o700)?;
    manifest.create_dir(&Store::root()?, 0o700)?;
    let job_state = Arc::new(JobState::for_machine(dir, &plan.agents.spec.name)?);
    let backup = Backup::read(&job_state)?;
    let logins = job_state.logins();
    if logins.exists() {
        // Later jobs must not use the `docker login` of an earlier job.
        CredentialCache::read(&logins).without_stored().write(&logins)?;
    }
    let on_connected = |store: &Store, connection: Connection, (), report: &Report| {
        select(&plan, &job_state, store, connection, report)
    };
    let created = connect_with_deadline(&mut guard, &plan, &job_state, async { Ok(()) }, on_connected).await;
    if created.is_err() {
        // A failed cleanup is only logged: the first error is the one to return.
        let cleaned_up = if is_first { undo(&user) } else { backup.restore() };
        if let Err(error) = cleaned_up {
            say(&format!("warning: cannot clean up: {error:#}"));
        }
    }
    created
}

/// Selects the connected builder for all jobs of the user, and removes earlier builders of this program.
fn select(
    plan: &Plan,
    job_state: &JobState,
    store: &Store,
    connection: Connection,
    report: &Report,
) -> anyhow::Result<()> {
    let kubeconfig = job_state.kubeconfig();
    let builder = connection.builder(plan, &job_state.builder);
    store.find_own(&builder.name, &kubeconfig)?;
    let mut settings = registries::settings(&connection.registries);
    settings.push(Setting::Build);
    registries::add_to_config(job_state, settings)?;
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

/// Removes the builder. The caller holds the lock.
fn undo(user: &User) -> anyhow::Result<()> {
    let dir = config_dir(user);
    let manifest = InstallManifest::read(&manifest_path(&dir))?;
    if manifest.is_empty() {
        say("Builder: this user has none");
        return programs::restore_own_buildx(user);
    }
    let job_state = JobState::without_builder(dir.clone());
    if let Some(store) = Store::existing()? {
        let kubeconfig = job_state.kubeconfig();
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
    docker.release(&dir)?;
    if docker::dir().is_some_and(|docker| manifest.created(&docker)) {
        docker.remove_leftovers()?;
    }
    for file in [job_state.kubeconfig(), job_state.session(), job_state.logins()] {
        files::remove(&file)?;
    }
    manifest.undo()?;
    programs::restore_own_buildx(user)
}

/// Returns the path of the builder's install manifest.
fn manifest_path(dir: &Path) -> PathBuf {
    dir.join("builder.json")
}

/// The contents of an existing builder's files, to be restored if an update fails.
struct Backup(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Backup {
    fn read(job_state: &JobState) -> anyhow::Result<Self> {
        let files = [job_state.kubeconfig(), job_state.session(), job_state.logins()];
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
