//! Reads and changes buildx's directory in the same way as buildx itself: under its lock, by rename, with mode 0600
//! (docker/buildx, store/store.go).

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::Access;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::instance::{Builder, Instance, has_kubeconfig};
use super::lock::{BuildxLock, POLL_INTERVAL};
use crate::error_code::ErrorCode;
use crate::files::{PathOwner, not_written};
use crate::problem::Problem;
use crate::{docker, env, files};

/// buildx's directory, which is locked until this is dropped.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    _lock: BuildxLock,
}

/// The content of the file `current`, which names the selected builder. With `Global`, the selection applies to every
/// DOCKER_HOST and docker context.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CurrentFile {
    key: String,
    name: String,
    global: bool,
}

impl Store {
    /// Returns the path of this user's directory, and checks that it can be written or created, without creating it.
    /// With this check, a job fails before it waits for an agent.
    pub fn writable() -> anyhow::Result<PathBuf> {
        let root = Self::root()?;
        let instances = root.join("instances");
        let existing_ancestor = root.ancestors().find(|dir| dir.exists());
        let existing_instances = instances.exists().then_some(&*instances);
        for dir in existing_ancestor.into_iter().chain(existing_instances) {
            rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| not_written(&root, PathOwner::Buildx, &error.into()))?;
        }
        Ok(root)
    }

    /// Opens this user's directory, which is created if it does not exist. Waits for the lock without blocking the
    /// thread.
    pub async fn open() -> anyhow::Result<Self> {
        let root = Self::root()?;
        let lock = BuildxLock::open(&root)?;
        while !lock.try_acquire()? {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(Self { root, _lock: lock })
    }

    /// Opens this user's directory. Returns `None` if it does not exist.
    pub fn existing() -> anyhow::Result<Option<Self>> {
        let root = Self::root()?;
        if root.exists() {
            Self::open_at(root).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns the path of this user's directory.
    pub fn root() -> anyhow::Result<PathBuf> {
        let configured = env::path(env::BUILDX_CONFIG);
        configured
            .or_else(|| Some(docker::dir()?.join("buildx")))
            .context("finding buildx's directory: neither BUILDX_CONFIG, DOCKER_CONFIG nor HOME is set")
    }

    /// Opens a directory, which is created if it does not exist. Blocks the thread while it waits for the lock.
    pub fn open_at(root: PathBuf) -> anyhow::Result<Self> {
        let lock = BuildxLock::open(&root)?;
        while !lock.try_acquire()? {
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(Self { root, _lock: lock })
    }

    /// Adds a job's builder and selects it. A builder of this name that already exists is an error.
    pub fn add(&self, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<()> {
        let path = self.instance_path(&builder.name);
        ensure!(
            !path.exists(),
            "a builder {} exists already: {}",
            builder.name,
            path.display()
        );
        let instance = builder.instance(kubeconfig, self.selection_to_restore());
        self.write(&path, &serde_json::to_vec(&instance)?)?;
        let selected = self.select(&builder.name);
        if selected.is_err() {
            // Otherwise nothing would remove the builder.
            let _ = self.remove_files(&builder.name);
        }
        selected
    }

    /// Selects a builder for every DOCKER_HOST and docker context.
    fn select(&self, name: &str) -> anyhow::Result<()> {
        let current = CurrentFile {
            key: env::get(env::DOCKER_HOST).unwrap_or_else(|| "unix:///var/run/docker.sock".into()),
            name: name.to_owned(),
            global: true,
        };
        self.write(&self.root.join("current"), &serde_json::to_vec(&current)?)
    }

    /// Adds or updates a permanent builder and selects it. Returns whether anything changed. A job that selects its
    /// own builder restores this selection when it ends.
    pub fn set_permanent(&self, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<bool> {
        let existing = self.find_own(&builder.name, kubeconfig)?;
        let previous = match self.previous_selection_of(&builder.name) {
            Some(previous) => previous,
            None => self.selection_to_restore(),
        };
        let instance = builder.instance(kubeconfig, previous).permanent();
        let selected = self.current().is_some_and(|c| c.name == builder.name && c.global);
        if selected && existing == Some(serde_json::to_value(&instance)?) {
            return Ok(false);
        }
        self.write(
            &self.instance_path(&builder.name),
            &serde_json::to_vec(&instance)?,
        )?;
        self.select(&builder.name)?;
        Ok(true)
    }

    /// Returns the content of the file of the builder with this name, if it exists. A builder with another kubeconfig
    /// is an error.
    pub fn find_own(&self, name: &str, kubeconfig: &Path) -> anyhow::Result<Option<serde_json::Value>> {
        let path = self.instance_path(name);
        let Ok(text) = std::fs::read(&path) else {
            return Ok(None);
        };
        let existing: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if has_kubeconfig(&existing, name, kubeconfig) {
            return Ok(Some(existing));
        }
        Err(Problem::new(
            ErrorCode::BuilderNameInUse,
            format!(
                "A builder {name} exists that remote-buildkit did not create: {}.",
                path.display()
            ),
            format!("Remove it (docker buildx rm {name}), or set another `name`."),
        )
        .into())
    }

    /// Returns the names of the builders with this kubeconfig.
    pub fn builders_of(&self, kubeconfig: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join("instances"));
        let names = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name());
        let names = names.filter_map(|name| name.into_string().ok());
        names
            .filter(|name| {
                let text = std::fs::read(self.instance_path(name)).unwrap_or_default();
                let builder: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
                has_kubeconfig(&builder, name, kubeconfig)
            })
            .collect()
    }

    /// Removes the whole directory, unless it contains a builder.
    pub fn remove_unused(self) -> anyhow::Result<()> {
        let instances = std::fs::read_dir(self.root.join("instances"));
        if instances.is_ok_and(|mut entries| entries.next().is_some()) {
            return Ok(());
        }
        std::fs::remove_dir_all(&self.root).with_context(|| format!("removing {}", self.root.display()))
    }

    /// Adds a builder without selecting it.
    pub(super) fn insert(&self, builder: &Builder, kubeconfig: &Path) -> anyhow::Result<()> {
        let instance = builder.instance(kubeconfig, None);
        self.write(
            &self.instance_path(&builder.name),
            &serde_json::to_vec(&instance)?,
        )
    }

    /// Returns whether this user has a builder with this name.
    pub fn has(name: &str) -> anyhow::Result<bool> {
        Ok(Self::root()?.join("instances").join(name).exists())
    }

    /// Returns the files in `instances` that are not valid builders. `docker buildx ls`, and every other command that
    /// lists all builders, fails because of them.
    pub fn malformed(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.join("instances"));
        let paths = entries.into_iter().flatten().flatten().map(|entry| entry.path());
        let is_valid = |path: &PathBuf| {
            let text = std::fs::read(path).unwrap_or_default();
            // As lenient as Go, in which buildx accepts text that is not valid UTF-8 and numbers of any size.
            serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(&text).is_ok()
        };
        paths.filter(|path| !is_valid(path)).collect()
    }

    /// Removes a builder that this program created. If it is still selected, the previous selection is restored. A
    /// builder with the same name but another kubeconfig is left unchanged.
    pub fn remove(&self, name: &str, kubeconfig: &Path) -> anyhow::Result<()> {
        let text = std::fs::read(self.instance_path(name)).ok();
        let existing: Option<serde_json::Value> = text.and_then(|text| serde_json::from_slice(&text).ok());
        if existing.is_some_and(|builder| !has_kubeconfig(&builder, name, kubeconfig)) {
            return Ok(());
        }
        if self.current().is_some_and(|c| c.name == name) {
            let previous = self.previous_selection_of(name).flatten();
            let current = self.root.join("current");
            match previous.filter(|p| self.can_be_selected(p)) {
                Some(previous) => self.write(&current, previous.as_bytes())?,
                None => files::remove(&current)?,
            }
        }
        self.remove_files(name)
    }

    /// Returns the kubeconfig of a builder that this program created; `None` for other builders.
    pub fn kubeconfig_of(&self, name: &str) -> Option<PathBuf> {
        self.instance(name)?.kubeconfig().map(PathBuf::from)
    }

    /// Removes the files of a builder, the same ones as `buildx rm`.
    fn remove_files(&self, name: &str) -> anyhow::Result<()> {
        files::remove(&self.root.join("activity").join(name))?;
        let refs = self.root.join("refs").join(name);
        match std::fs::remove_dir_all(&refs) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("removing {}", refs.display()));
            }
            _ => {}
        }
        files::remove(&self.instance_path(name))
    }

    /// Returns the selection that `disconnect` must restore: the current one. If another job in the same home
    /// directory has selected its builder, it is the selection before that builder, because jobs may end in any
    /// order. The machine's permanent builder counts as the user's selection.
    fn selection_to_restore(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.root.join("current")).ok()?;
        let selected: Option<CurrentFile> = serde_json::from_str(&text).ok();
        let job_builder = selected
            .and_then(|current| self.instance(&current.name))
            .filter(|instance| !instance.is_permanent());
        match job_builder.and_then(|instance| instance.previous_selection().cloned()) {
            Some(previous) => previous,
            None => Some(text),
        }
    }

    /// Returns the selection before a builder was selected; `None` if this program did not create the builder.
    fn previous_selection_of(&self, name: &str) -> Option<Option<String>> {
        self.instance(name)?.previous_selection().cloned()
    }

    /// Returns the content of a builder's file, if it can be read.
    fn instance(&self, name: &str) -> Option<Instance> {
        if name.is_empty() {
            return None;
        }
        let text = std::fs::read(self.instance_path(name)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Returns whether this content of the file `current` selects the default builder or an existing builder.
    fn can_be_selected(&self, current: &str) -> bool {
        serde_json::from_str(current)
            .is_ok_and(|c: CurrentFile| c.name.is_empty() || self.instance_path(&c.name).exists())
    }

    /// Returns the content of the file `current`, if it can be read.
    fn current(&self) -> Option<CurrentFile> {
        let text = std::fs::read(self.root.join("current")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Returns the path of a builder's file.
    fn instance_path(&self, name: &str) -> PathBuf {
        self.root.join("instances").join(name)
    }

    /// Writes a file. The temporary file is created in the root directory, because buildx treats every file in
    /// `instances` as a builder.
    fn write(&self, path: &Path, content: &[u8]) -> anyhow::Result<()> {
        files::write_private_through(&self.root, path, content, PathOwner::Buildx)
    }
}

#[cfg(test)]
mod tests;
