//! What a connected job has on this machine: a folder with the kubeconfig and the session, and a builder.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::buildx::{Builder, Store};
use crate::docker::Docker;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
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
        let mut builder = format!("{agent}-{}", files::random_hex()?);
        while Store::has(&builder)? {
            builder = format!("{agent}-{}", files::random_hex()?);
        }
        let folder = temporary_folder().join(folder_name(&builder));
        if folder.to_str().is_none() {
            return Err(no_text(&folder).into());
        }
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
        Ok(kubeconfig.and_then(|path| Self::of_kubeconfig(name, &path)))
    }

    /// By where a builder's file says that its kubeconfig is. The folder is removed with all that is in it, and anyone
    /// may have written that file: so it has to be one that only [`Self::create`] makes.
    fn of_kubeconfig(builder: &str, kubeconfig: &Path) -> Option<Self> {
        let folder = kubeconfig.parent()?;
        let ours = folder.file_name()? == folder_name(builder).as_str();
        ours.then(|| Self {
            folder: folder.to_owned(),
            builder: builder.to_owned(),
        })
    }

    /// The machine's, for all jobs of a user.
    pub(super) fn of_machine(folder: PathBuf, agent: &str) -> anyhow::Result<Self> {
        if folder.to_str().is_none() {
            return Err(no_text(&folder).into());
        }
        Ok(Self {
            folder,
            builder: agent.to_owned(),
        })
    }

    /// For what needs no builder.
    pub(super) fn of_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            builder: String::new(),
        }
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    pub(super) fn session(&self) -> PathBuf {
        self.folder.join("session.json")
    }

    pub(super) fn logins(&self) -> PathBuf {
        self.folder.join("logins.json")
    }

    /// Makes the builder known to buildx and selects it, or neither.
    pub(super) fn select(&self, store: &Store, builder: &Builder) -> anyhow::Result<()> {
        store.add(builder, &self.kubeconfig())?;
        github::export(env::BUILDX_BUILDER, &self.builder).inspect_err(|_| {
            // What was in the way of the export is what there is to mend.
            let _ = store.remove(&self.builder, &self.kubeconfig());
        })
    }

    /// After a failure, which has selected nothing: removes the folder, and tells the post step that there is nothing left
    /// to do. buildx's folder is not touched, since its lock may be what was waited for.
    pub(super) fn discard(&self) -> anyhow::Result<()> {
        self.unregister()?;
        remove_folder(&self.folder)?;
        github::save_state(STATE_FOLDER, "")?;
        github::save_state(STATE_BUILDER, "")
    }

    /// Takes our settings out of docker's config, if there are any.
    fn unregister(&self) -> anyhow::Result<()> {
        // Without a folder of docker's nothing is in it.
        Docker::of_user().map_or(Ok(()), |docker| docker.unregister(&self.folder))
    }

    /// Removes all of it. Every part is tried, whatever becomes of the others.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let store = Store::existing();
        let of_ours = |store: Store| store.remove(&self.builder, &self.kubeconfig());
        let builder = store.and_then(|store| store.map_or(Ok(()), of_ours));
        let registered = self.unregister();
        let folder = remove_folder(&self.folder);
        builder.and(registered).and(folder)
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
    let folder = env::path(env::RUNNER_TEMP).or_else(|| env::path(env::XDG_RUNTIME_DIR));
    folder.unwrap_or_else(std::env::temp_dir)
}

fn no_text(folder: &Path) -> Problem {
    Problem::new(
        ErrorCode::InvalidTempDir,
        format!(
            "The folder for this job's files would be {}, and its name is no text in UTF-8, as the kubeconfig \
             and buildx's files are.",
            folder.display()
        ),
        "Set RUNNER_TEMP, or outside of Actions XDG_RUNTIME_DIR, to another folder.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_the_builder_is_removed_with_it() {
        let folder = |kubeconfig: &str| {
            let selection = Selection::of_kubeconfig("agent-1", Path::new(kubeconfig))?;
            Some(selection.folder)
        };
        let ours = "/tmp/builder-agent-1";
        assert_eq!(folder(&format!("{ours}/kubeconfig")), Some(PathBuf::from(ours)));
        for other in [
            "/home/me/.kube/config",
            "/kubeconfig",
            "kubeconfig",
            "",
            "/tmp/builder-agent-2/kubeconfig",
        ] {
            assert_eq!(folder(other), None, "{other}");
        }
    }
}
