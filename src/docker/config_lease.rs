//! The lease on docker's config: which holders (connected jobs, or the machine) need which of this program's
//! settings, and the config as it was before. When the last holder releases its settings, the config is byte for byte
//! what it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use super::config::{self, Setting};
use super::entries::InvalidConfig;
use crate::error_code::ErrorCode;
use crate::files::{self, PathOwner, not_written};
use crate::problem::Problem;

/// The docker directory of a user.
#[derive(Debug)]
pub struct DockerConfig {
    dir: PathBuf,
}

/// The content of `remote-buildkit.json`, next to the config.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ConfigLease {
    /// The config before this program's first setting; `None` if there was no config.
    before: Option<String>,
    /// The config with this program's settings, as last written.
    after: Option<String>,
    /// Whether the directory was created for the config.
    created_dir: bool,
    /// The settings of each holder, by the directory of the connected job or of the machine.
    holders: BTreeMap<PathBuf, BTreeSet<Setting>>,
}

impl DockerConfig {
    /// Returns the docker directory of this user.
    pub fn of_user() -> anyhow::Result<Self> {
        let dir = super::dir::dir();
        let dir = dir.context("finding docker's directory: neither DOCKER_CONFIG nor HOME is set")?;
        Ok(Self { dir })
    }

    /// Checks that the config can be changed, without changing anything, so that a job fails before it waits for an
    /// agent.
    pub fn check(&self) -> anyhow::Result<()> {
        let text = self.read()?;
        config::check(text.as_deref().unwrap_or_default()).map_err(|error| self.invalid_config(&error))?;
        let target = self.target();
        let parent = target.ancestors().skip(1).find(|dir| dir.exists());
        for dir in parent.into_iter().chain(self.dir.exists().then_some(&*self.dir)) {
            rustix::fs::access(dir, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| not_written(&target, PathOwner::Docker, &error.into()))?;
        }
        Ok(())
    }

    /// Adds settings for a holder, for as long as the holder's directory exists. Returns the settings for which the
    /// config already has the user's own entries, which stay unchanged.
    pub fn acquire(&self, holder: &Path, settings: &[Setting]) -> anyhow::Result<Vec<Setting>> {
        let created_dir = self.create_dir()?;
        let mut skipped = Vec::new();
        self.reconcile(created_dir, |holders, base| {
            let mut acquired = BTreeSet::new();
            for setting in settings {
                if config::has_own(base, setting)? {
                    skipped.push(setting.clone());
                } else {
                    acquired.insert(setting.clone());
                }
            }
            holders.insert(holder.to_owned(), acquired);
            Ok(())
        })?;
        Ok(skipped)
    }

    /// Releases a holder's settings, and removes those that no other holder needs.
    pub fn release(&self, holder: &Path) -> anyhow::Result<()> {
        if !self.lease_path().exists() {
            return Ok(());
        }
        self.reconcile(false, |holders, _| {
            holders.remove(holder);
            Ok(())
        })
    }

    /// Removes the files that buildx leaves in a directory that this program created: the seed from which it derives
    /// the names of its tokens (moby/buildkit, session/auth/authprovider/tokenseed.go).
    pub fn remove_leftovers(&self) -> anyhow::Result<()> {
        for name in [".token_seed", ".token_seed.lock"] {
            files::remove(&self.dir.join(name))?;
        }
        Ok(())
    }

    /// Returns a holder of the login setting of a host.
    pub fn holder_of(&self, host: &str) -> Option<PathBuf> {
        let login = Setting::Login(host.to_owned());
        let holders = self.lease().ok()?.holders.into_iter();
        let mut holders = holders.filter(|(holder, settings)| settings.contains(&login) && holder.exists());
        holders.next().map(|(holder, _)| holder)
    }

    /// Returns whether this holder has the login setting of a host.
    pub fn is_held_by(&self, holder: &Path, host: &str) -> bool {
        let holders = self.lease().unwrap_or_default().holders;
        let settings = holders.get(holder);
        settings.is_some_and(|settings| settings.contains(&Setting::Login(host.to_owned())))
    }

    /// Returns the hosts of all holders' login settings.
    pub fn hosts(&self) -> BTreeSet<String> {
        let holders = self.lease().unwrap_or_default().holders;
        let settings = holders.into_values().flatten();
        settings
            .filter_map(|setting| match setting {
                Setting::Login(host) => Some(host),
                Setting::Build | Setting::PluginDir(_) => None,
            })
            .collect()
    }

    /// Returns the plugin directories of all holders.
    pub fn plugin_dirs(&self) -> BTreeSet<PathBuf> {
        let holders = self.lease().unwrap_or_default().holders;
        let settings = holders.into_values().flatten();
        settings
            .filter_map(|setting| match setting {
                Setting::PluginDir(dir) => Some(PathBuf::from(dir)),
                Setting::Build | Setting::Login(_) => None,
            })
            .collect()
    }

    /// Changes the holders, and updates the config to the settings that they need.
    fn reconcile(
        &self,
        created_dir: bool,
        change: impl FnOnce(&mut BTreeMap<PathBuf, BTreeSet<Setting>>, &str) -> Result<(), InvalidConfig>,
    ) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        let mut lease = self.lease()?;
        let current = self.read()?;
        let invalid = |error: InvalidConfig| self.invalid_config(&error);
        let before = match &current {
            _ if lease.holders.is_empty() => current.clone(),
            current if *current == lease.after => lease.before.clone(),
            None => None,
            Some(text) => Some(lease.without_settings(text).map_err(invalid)?),
        };
        let base = before.as_deref().unwrap_or_default();
        change(&mut lease.holders, base).map_err(invalid)?;
        // A killed job never released its settings. Its directory no longer exists.
        lease
            .holders
            .retain(|holder, settings| !settings.is_empty() && holder.exists());
        lease.created_dir |= created_dir;

        if lease.holders.is_empty() {
            self.write(&current, before.as_deref())?;
            return self.remove_lease(&lease);
        }
        let mut after = base.to_owned();
        for setting in lease.settings() {
            if let Some(with) = config::with(&after, &setting).map_err(invalid)? {
                after = with;
            }
        }
        lease.before = before;
        lease.after = Some(after);
        // The lease is written before the config, so that the original config is never lost.
        let text = serde_json::to_vec(&lease).context("writing the lease as JSON")?;
        files::replace(&self.lease_path(), &text, PathOwner::Docker)?;
        self.write(&current, lease.after.as_deref())
    }

    fn lease_path(&self) -> PathBuf {
        self.dir.join("remote-buildkit.json")
    }

    /// Reads the lease. A missing file counts as a lease without holders.
    fn lease(&self) -> anyhow::Result<ConfigLease> {
        let path = self.lease_path();
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(ConfigLease::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Removes the lease, and the directory if it was created for the config.
    fn remove_lease(&self, lease: &ConfigLease) -> anyhow::Result<()> {
        files::remove(&self.lease_path())?;
        if lease.created_dir {
            // This fails if the directory contains other files, so that it stays.
            let _ = std::fs::remove_dir(&self.dir);
        }
        Ok(())
    }

    fn config_path(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// Returns the path of the file that contains the config: config.json may be a link, even to a file that does not
    /// exist yet.
    fn target(&self) -> PathBuf {
        let path = self.config_path();
        if let Ok(target) = path.canonicalize() {
            return target;
        }
        match std::fs::read_link(&path) {
            Ok(target) => self.dir.join(target),
            Err(_) => path,
        }
    }

    /// Reads the config; `None` if there is none.
    fn read(&self) -> anyhow::Result<Option<String>> {
        let path = self.config_path();
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(self.invalid_config(&"it is not valid UTF-8").into()),
            },
        }
    }

    /// Writes the config, or removes it if it is to be `None`. An unchanged config is not written.
    fn write(&self, current: &Option<String>, desired: Option<&str>) -> anyhow::Result<()> {
        let target = self.target();
        match desired {
            desired if desired == current.as_deref() => Ok(()),
            Some(text) => files::replace(&target, text.as_bytes(), PathOwner::Docker),
            None => std::fs::remove_file(&target).with_context(|| format!("removing {}", target.display())),
        }
    }

    /// Creates the directory. Returns whether it was missing.
    fn create_dir(&self) -> anyhow::Result<bool> {
        if self.dir.exists() {
            return Ok(false);
        }
        let created = DirBuilder::new().mode(0o700).recursive(true).create(&self.dir);
        created.map_err(|error| not_written(&self.dir, PathOwner::Docker, &error))?;
        Ok(true)
    }

    /// Locks the directory. Other processes of this program hold the lock only for moments.
    fn lock(&self) -> anyhow::Result<File> {
        let dir = File::open(&self.dir).with_context(|| format!("opening {}", self.dir.display()))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match dir.try_lock() {
                Ok(()) => return Ok(dir),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "another process has held the lock of {} for 10 s",
                        self.dir.display()
                    )
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", self.dir.display()));
                }
            }
        }
    }

    /// Returns the error for a config that is not valid.
    fn invalid_config(&self, why: &dyn std::fmt::Display) -> Problem {
        let path = self.config_path();
        Problem::new(
            ErrorCode::InvalidDockerConfig,
            format!("Read {} to add an entry: {why}.", path.display()),
            "Correct the file: docker cannot read it either. It was not changed. Or set DOCKER_CONFIG to another directory.",
        )
    }
}

impl ConfigLease {
    /// Returns the settings of all holders.
    fn settings(&self) -> BTreeSet<Setting> {
        self.holders.values().flatten().cloned().collect()
    }

    /// Returns a config that other programs have changed since, without this program's settings.
    fn without_settings(&self, text: &str) -> Result<String, InvalidConfig> {
        let before = self.before.as_deref().unwrap_or_default();
        let mut text = text.to_owned();
        for setting in self.settings() {
            text = config::without(&text, &setting, config::has_object(before, &setting))?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests;
