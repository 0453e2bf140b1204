//! What a connected job has on this machine: a directory with the kubeconfig and the AWS session, and a buildx builder.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::buildx::{Builder, Store};
use crate::docker::DockerConfig;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::{env, files, github};

const STATE_DIR: &str = "dir";
const STATE_BUILDER: &str = "builder";

/// The job's directory and the name of its builder. Both are new for each `connect`, so that jobs with a common home or
/// temporary directory do not affect each other.
#[derive(Debug)]
pub(super) struct JobState {
    pub(super) dir: PathBuf,
    pub(super) builder: String,
}

impl JobState {
    /// Creates the directory. The post step learns its path before any file is in it.
    pub(super) fn create(agent: &str) -> anyhow::Result<Self> {
        let mut builder = format!("{agent}-{}", files::random_hex()?);
        while Store::has(&builder)? {
            builder = format!("{agent}-{}", files::random_hex()?);
        }
        let dir = temporary_dir().join(dir_name(&builder));
        if dir.to_str().is_none() {
            return Err(invalid_temp_dir(&dir).into());
        }
        let state = Self { dir, builder };
        github::save_state(STATE_DIR, &state.dir.to_string_lossy())?;
        github::save_state(STATE_BUILDER, &state.builder)?;
        files::private_dir(&temporary_dir(), &dir_name(&state.builder))?;
        Ok(state)
    }

    /// Returns the state that this job's `connect` saved for the post step.
    pub(super) fn restore() -> Option<Self> {
        Some(Self {
            dir: PathBuf::from(github::state(STATE_DIR)?),
            builder: github::state(STATE_BUILDER)?,
        })
    }

    /// Returns the state of a builder, if this program created it.
    pub(super) fn find_by_builder(name: &str) -> anyhow::Result<Option<Self>> {
        let kubeconfig = Store::existing()?.and_then(|store| store.kubeconfig_of(name));
        Ok(kubeconfig.and_then(|path| Self::from_kubeconfig(name, &path)))
    }

    /// Returns the state for the kubeconfig that a builder's file names. Anyone may have written that file, and the
    /// directory will be removed with its content: so its name must be one that only [`Self::create`] gives.
    fn from_kubeconfig(builder: &str, kubeconfig: &Path) -> Option<Self> {
        let dir = kubeconfig.parent()?;
        let ours = dir.file_name()? == dir_name(builder).as_str();
        ours.then(|| Self {
            dir: dir.to_owned(),
            builder: builder.to_owned(),
        })
    }

    /// Returns the state of a permanent builder, for all jobs of a user on this machine.
    pub(super) fn for_machine(dir: PathBuf, agent: &str) -> anyhow::Result<Self> {
        if dir.to_str().is_none() {
            return Err(invalid_temp_dir(&dir).into());
        }
        Ok(Self {
            dir,
            builder: agent.to_owned(),
        })
    }

    /// Returns the state for work that needs no builder.
    pub(super) fn without_builder(dir: PathBuf) -> Self {
        Self {
            dir,
            builder: String::new(),
        }
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(super) fn session(&self) -> PathBuf {
        self.dir.join("session.json")
    }

    /// Returns the directory of a buildx that is installed for the job.
    pub(super) fn buildx(&self) -> PathBuf {
        self.dir.join("buildx")
    }

    pub(super) fn logins(&self) -> PathBuf {
        self.dir.join("logins.json")
    }

    /// Adds the builder to buildx and selects it, or does neither.
    pub(super) fn select_builder(&self, store: &Store, builder: &Builder) -> anyhow::Result<()> {
        store.add(builder, &self.kubeconfig())?;
        github::export(env::BUILDX_BUILDER, &self.builder).inspect_err(|_| {
            // The failed export is the error to report.
            let _ = store.remove(&self.builder, &self.kubeconfig());
        })
    }

    /// Removes the directory after a failure, when no builder is selected, and leaves nothing to do for the post step. buildx's
    /// directory is not touched, because waiting for its lock may be what failed.
    pub(super) fn discard(&self) -> anyhow::Result<()> {
        self.unregister()?;
        remove_dir(&self.dir)?;
        github::save_state(STATE_DIR, "")?;
        github::save_state(STATE_BUILDER, "")
    }

    /// Removes our settings from docker's config.
    fn unregister(&self) -> anyhow::Result<()> {
        // Without a directory of docker there are none.
        DockerConfig::of_user().map_or(Ok(()), |docker| docker.release(&self.dir))
    }

    /// Removes the builder, the settings and the directory. Tries each of them, also when another one fails.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let store = Store::existing();
        let remove_builder = |store: Store| store.remove(&self.builder, &self.kubeconfig());
        let builder = store.and_then(|store| store.map_or(Ok(()), remove_builder));
        let registered = self.unregister();
        let dir = remove_dir(&self.dir);
        builder.and(registered).and(dir)
    }
}

fn remove_dir(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn dir_name(builder: &str) -> String {
    format!("builder-{builder}")
}

/// Returns the runner's temporary directory, which it empties after each job, or outside of Actions the user's runtime
/// directory.
fn temporary_dir() -> PathBuf {
    let dir = env::path(env::RUNNER_TEMP).or_else(|| env::path(env::XDG_RUNTIME_DIR));
    dir.unwrap_or_else(std::env::temp_dir)
}

fn invalid_temp_dir(dir: &Path) -> Problem {
    Problem::new(
        ErrorCode::InvalidTempDir,
        format!(
            "The directory for this job's files would be {}, which is not valid UTF-8, as the kubeconfig and \
             buildx's files require.",
            dir.display()
        ),
        "Set RUNNER_TEMP, or outside of Actions XDG_RUNTIME_DIR, to another directory.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directory_of_the_builder_is_removed_with_it() {
        let removed = |kubeconfig: &str| {
            let state = JobState::from_kubeconfig("agent-1", Path::new(kubeconfig))?;
            Some(state.dir)
        };
        let ours = "/tmp/builder-agent-1";
        assert_eq!(removed(&format!("{ours}/kubeconfig")), Some(PathBuf::from(ours)));
        for other in [
            "/home/me/.kube/config",
            "/kubeconfig",
            "kubeconfig",
            "",
            "/tmp/builder-agent-2/kubeconfig",
        ] {
            assert_eq!(removed(other), None, "{other}");
        }
    }

    #[test]
    fn error_of_a_temporary_directory_that_is_not_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let dir = Path::new(std::ffi::OsStr::from_bytes(b"/tmp/\xff"));
        insta::assert_snapshot!(invalid_temp_dir(dir));
    }
}
