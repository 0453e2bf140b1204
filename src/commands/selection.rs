//! What a connected job has on this machine: a folder with the kubeconfig and the session, and a builder.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::buildx::{Builder, Store};
use crate::{env, files, github};

const STATE_FOLDER: &str = "folder";
const STATE_BUILDER: &str = "builder";

/// The job's folder and the name of its builder. Both are new for each connect, so that jobs which share a home or
/// a temporary folder have nothing in common.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) folder: PathBuf,
    pub(super) builder: String,
}

impl Selection {
    /// Makes the folder, and tells the post step of it before anything is put in.
    pub(super) fn create(agent: &str) -> anyhow::Result<Self> {
        let builder = format!("{agent}-{}", files::random_hex()?);
        let folder = temporary_folder().join(folder_name(&builder));
        let selection = Self { folder, builder };
        github::save_state(STATE_FOLDER, &selection.folder.to_string_lossy())?;
        github::save_state(STATE_BUILDER, &selection.builder)?;
        files::private_folder(&temporary_folder(), &folder_name(&selection.builder))?;
        Ok(selection)
    }

    /// The one that this job's connect made.
    pub(super) fn of_job() -> Option<Self> {
        Some(Self {
            folder: PathBuf::from(github::state(STATE_FOLDER)?),
            builder: github::state(STATE_BUILDER)?,
        })
    }

    /// The one of a builder's name, if this program made it.
    pub(super) fn of_builder(name: &str) -> anyhow::Result<Option<Self>> {
        let kubeconfig = Store::existing()?.and_then(|store| store.kubeconfig_of(name));
        let folder = kubeconfig.and_then(|path| path.parent().map(Path::to_owned));
        Ok(folder.map(|folder| Self {
            folder,
            builder: name.to_owned(),
        }))
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub(super) fn session(&self) -> PathBuf {
        self.folder.join("session.json")
    }

    /// Makes the builder known to buildx and selects it.
    pub(super) fn select(&self, builder: &Builder) -> anyhow::Result<()> {
        Store::open()?.add(builder, &self.kubeconfig())?;
        github::export(env::BUILDX_BUILDER, &self.builder)
    }

    /// Removes all of it after a failure, and tells the post step that there is nothing left to do.
    pub(super) fn discard(&self) -> anyhow::Result<()> {
        self.remove()?;
        github::save_state(STATE_FOLDER, "")?;
        github::save_state(STATE_BUILDER, "")
    }

    /// Removes all of it. Both halves are tried, whatever becomes of the first.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let store = Store::existing();
        let builder = store.and_then(|store| store.map_or(Ok(()), |store| store.remove(&self.builder)));
        let folder = remove_folder(&self.folder);
        builder.and(folder)
    }
}

fn remove_folder(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn folder_name(builder: &str) -> String {
    format!("builder-{builder}")
}

/// Emptied by the runner after each job; outside Actions the user's own runtime folder.
fn temporary_folder() -> PathBuf {
    let folder = env::get(env::RUNNER_TEMP).or_else(|| env::get(env::XDG_RUNTIME_DIR));
    folder.map_or_else(std::env::temp_dir, PathBuf::from)
}
