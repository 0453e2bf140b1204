//! Who wants which of our settings in docker's config, and what was in it before. With the last of them gone the config
//! is, byte for byte, what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::Access;
use serde::{Deserialize, Serialize};

use super::config::{self, Broken, Setting};
use crate::error_code::ErrorCode;
use crate::files::{self, Place, not_written};
use crate::problem::Problem;

/// docker's folder of this user.
#[derive(Debug)]
pub struct Docker {
    folder: PathBuf,
}

/// `remote-buildkit.json`, beside the config.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The config before us; absent where there was none.
    before: Option<String>,
    /// The config with our settings, as it was written last.
    after: Option<String>,
    /// Whether the folder was made for it.
    made_folder: bool,
    /// By the folder of a connected job, or of the machine.
    users: BTreeMap<PathBuf, BTreeSet<Setting>>,
}

impl Docker {
    pub fn of_user() -> anyhow::Result<Self> {
        let folder = super::folder();
        let folder = folder.context("looking for docker's folder: neither DOCKER_CONFIG nor HOME is set")?;
        Ok(Self { folder })
    }

    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether the config can be changed; nothing is made. A job shall hear of it before it waits for an agent.
    pub fn check(&self) -> anyhow::Result<()> {
        let text = self.read()?;
        config::check(text.as_deref().unwrap_or_default()).map_err(|broken| self.unusable(&broken))?;
        let target = self.target();
        let there = target.ancestors().skip(1).find(|folder| folder.exists());
        for folder in there
            .into_iter()
            .chain(self.folder.exists().then_some(&*self.folder))
        {
            rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| not_written(&target, Place::Docker, &error.into()))?;
        }
        Ok(())
    }

    /// Puts settings in, for as long as `user` is there. Returns those that somebody else has seen to, which are left alone.
    pub fn register(&self, user: &Path, settings: &[Setting]) -> anyhow::Result<Vec<Setting>> {
        let made = self.make_folder()?;
        let mut left = Vec::new();
        self.settle(made, |users, base| {
            let mut ours = BTreeSet::new();
            for setting in settings {
                if config::has_own(base, setting)? {
                    left.push(setting.clone());
                } else {
                    ours.insert(setting.clone());
                }
            }
            users.insert(user.to_owned(), ours);
            Ok(())
        })?;
        Ok(left)
    }

    /// Takes out what nobody else wants.
    pub fn unregister(&self, user: &Path) -> anyhow::Result<()> {
        if !self.kept_path().exists() {
            return Ok(());
        }
        self.settle(false, |users, _| {
            users.remove(user);
            Ok(())
        })
    }

    /// What buildx keeps in a folder that was made for us: the seed of the names of its tokens (moby/buildkit,
    /// session/auth/authprovider/tokenseed.go).
    pub fn remove_leftovers(&self) -> anyhow::Result<()> {
        for name in [".token_seed", ".token_seed.lock"] {
            files::remove(&self.folder.join(name))?;
        }
        Ok(())
    }

    /// The folder of whoever has registered a host, or one of them.
    pub fn user_of(&self, host: &str) -> Option<PathBuf> {
        let login = Setting::Login(host.to_owned());
        let users = self.kept().ok()?.users.into_iter();
        let mut users = users.filter(|(user, settings)| settings.contains(&login) && user.exists());
        users.next().map(|(user, _)| user)
    }

    /// Whether that is who has registered a host.
    pub fn is_user_of(&self, user: &Path, host: &str) -> bool {
        let users = self.kept().unwrap_or_default().users;
        let settings = users.get(user);
        settings.is_some_and(|settings| settings.contains(&Setting::Login(host.to_owned())))
    }

    /// The hosts that somebody has registered.
    pub fn hosts(&self) -> BTreeSet<String> {
        let users = self.kept().unwrap_or_default().users;
        let settings = users.into_values().flatten();
        settings
            .filter_map(|setting| match setting {
                Setting::Login(host) => Some(host),
                Setting::Build => None,
            })
            .collect()
    }

    /// From the users that there were to those that there are, and from one config to the other.
    fn settle(
        &self,
        made_folder: bool,
        change: impl FnOnce(&mut BTreeMap<PathBuf, BTreeSet<Setting>>, &str) -> Result<(), Broken>,
    ) -> anyhow::Result<()> {
        let _lock = self.lock()?;
        let mut kept = self.kept()?;
        let current = self.read()?;
        let broken = |broken: Broken| self.unusable(&broken);
        let before = match &current {
            _ if kept.users.is_empty() => current.clone(),
            current if *current == kept.after => kept.before.clone(),
            None => None,
            Some(text) => Some(kept.taken_out(text).map_err(broken)?),
        };
        let base = before.as_deref().unwrap_or_default();
        change(&mut kept.users, base).map_err(broken)?;
        // Of jobs that were killed nothing else is left.
        kept.users
            .retain(|user, settings| !settings.is_empty() && user.exists());
        kept.made_folder |= made_folder;

        if kept.users.is_empty() {
            self.write(&current, before.as_deref())?;
            return self.forget(&kept);
        }
        let mut after = base.to_owned();
        for setting in kept.settings() {
            if let Some(with) = config::with(&after, &setting).map_err(broken)? {
                after = with;
            }
        }
        kept.before = before;
        kept.after = Some(after);
        // First: who finds our settings in the config shall know what was before.
        let text = serde_json::to_vec(&kept).context("registration to JSON")?;
        files::replace(&self.kept_path(), &text, Place::Docker)?;
        self.write(&current, kept.after.as_deref())
    }

    fn kept_path(&self) -> PathBuf {
        self.folder.join("remote-buildkit.json")
    }

    fn kept(&self) -> anyhow::Result<Kept> {
        let path = self.kept_path();
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
            Ok(text) => serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn forget(&self, kept: &Kept) -> anyhow::Result<()> {
        files::remove(&self.kept_path())?;
        if kept.made_folder {
            // It stays where something else is in it by now.
            let _ = std::fs::remove_dir(&self.folder);
        }
        Ok(())
    }

    fn config_path(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// Where the config really is: it may be a link, to a file that is not there yet.
    fn target(&self) -> PathBuf {
        let path = self.config_path();
        if let Ok(target) = path.canonicalize() {
            return target;
        }
        match std::fs::read_link(&path) {
            Ok(target) => self.folder.join(target),
            Err(_) => path,
        }
    }

    fn read(&self) -> anyhow::Result<Option<String>> {
        let path = self.config_path();
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(self.unusable(&"it is no text in UTF-8").into()),
            },
        }
    }

    fn write(&self, current: &Option<String>, wanted: Option<&str>) -> anyhow::Result<()> {
        let target = self.target();
        match wanted {
            wanted if wanted == current.as_deref() => Ok(()),
            Some(text) => files::replace(&target, text.as_bytes(), Place::Docker),
            None => std::fs::remove_file(&target).with_context(|| format!("removing {}", target.display())),
        }
    }

    fn make_folder(&self) -> anyhow::Result<bool> {
        if self.folder.exists() {
            return Ok(false);
        }
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&self.folder);
        made.map_err(|error| not_written(&self.folder, Place::Docker, &error))?;
        Ok(true)
    }

    /// Held for moments by others of ours.
    fn lock(&self) -> anyhow::Result<File> {
        let folder =
            File::open(&self.folder).with_context(|| format!("opening {}", self.folder.display()))?;
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match folder.try_lock() {
                Ok(()) => return Ok(folder),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "another process holds the lock of {} for 10 s",
                        self.folder.display()
                    )
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", self.folder.display()));
                }
            }
        }
    }

    fn unusable(&self, why: &dyn std::fmt::Display) -> Problem {
        let path = self.config_path();
        Problem::new(
            ErrorCode::InvalidDockerConfig,
            format!(
                "Read {} to name a credential helper in it, and {why}.",
                path.display()
            ),
            "It was not touched. Mend it, for docker does not read it either; or set DOCKER_CONFIG to another folder.",
        )
    }
}

impl Kept {
    fn settings(&self) -> BTreeSet<Setting> {
        self.users.values().flatten().cloned().collect()
    }

    /// Of a config that somebody has changed since: without our settings, and else as it is.
    fn taken_out(&self, text: &str) -> Result<String, Broken> {
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
