//! The install manifest: what was created on the machine, recorded before it is created. Undoing it removes exactly
//! that, and restores what was replaced.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::files;
use crate::problem::Problem;

/// The manifest and its file.
#[derive(Debug)]
pub struct InstallManifest {
    path: PathBuf,
    content: ManifestContent,
}

/// The content of the manifest's file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct ManifestContent {
    /// The users that the programs were installed for.
    users: BTreeSet<String>,
    /// What was created, in the order of creation.
    installed: Vec<Installed>,
}

/// A directory, file or link that was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Installed {
    Dir(PathBuf),
    /// A file or a link.
    File(PathBuf),
    /// A file or a link that replaced another one, which is kept under the name `kept`.
    Replaced {
        path: PathBuf,
        kept: PathBuf,
    },
}

impl Installed {
    fn path(&self) -> &Path {
        match self {
            Self::Dir(path) | Self::File(path) | Self::Replaced { path, .. } => path,
        }
    }
}

/// The result of an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Created,
    /// An earlier version that this program installed was replaced.
    Updated,
    Unchanged,
}

impl InstallManifest {
    /// Reads a manifest. A missing file counts as an empty manifest.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let content = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => ManifestContent::default(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| unreadable(path, &error))?,
        };
        Ok(Self {
            path: path.to_owned(),
            content,
        })
    }

    /// Returns whether the manifest is empty, because nothing was created.
    pub fn is_empty(&self) -> bool {
        self.content == ManifestContent::default()
    }

    /// Returns whether this path was created, and did not exist before.
    pub fn created(&self, path: &Path) -> bool {
        self.content
            .installed
            .iter()
            .any(|installed| installed.path() == path)
    }

    /// Returns whether the manifest has no users.
    pub fn has_no_users(&self) -> bool {
        self.content.users.is_empty()
    }

    /// Adds a user. Returns whether the user is new.
    pub fn add_user(&mut self, name: &str) -> anyhow::Result<bool> {
        let is_new = self.content.users.insert(name.to_owned());
        if is_new {
            self.write()?;
        }
        Ok(is_new)
    }

    /// Removes a user. Returns whether no user is left.
    pub fn remove_user(&mut self, name: &str) -> anyhow::Result<bool> {
        if self.content.users.remove(name) {
            self.write()?;
        }
        Ok(self.content.users.is_empty())
    }

    /// Creates a directory and its missing parents.
    pub fn create_dir(&mut self, path: &Path, mode: u32) -> anyhow::Result<()> {
        if !path.exists() {
            // This may create some of the missing directories, because the manifest may be in one of them.
            self.write()?;
        }
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|dir| !dir.exists())
            .map(Path::to_owned)
            .collect();
        for dir in missing.into_iter().rev() {
            self.record(Installed::Dir(dir.clone()))?;
            make_dir(&dir, mode)?;
        }
        Ok(())
    }

    /// Installs a program with this content, after `works` has tried it under a temporary name. An existing program
    /// that this program did not install is kept under another name.
    pub fn install_program(
        &mut self,
        path: &Path,
        content: &mut File,
        works: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Change> {
        if is_identical(path, content)? {
            return Ok(Change::Unchanged);
        }
        let dir = path.parent().context("a program is in a directory")?;
        self.create_dir(dir, 0o755)?;
        let temporary = dir.join(format!(".tmp-{}", files::random_hex()?));
        let written = copy(content, &temporary)
            .with_context(|| format!("writing {}", temporary.display()))
            .and_then(|()| works(&temporary))
            .and_then(|()| self.claim(path))
            .and_then(|change| {
                let moved = std::fs::rename(&temporary, path);
                moved.with_context(|| format!("writing {}", path.display()))?;
                Ok(change)
            });
        if written.is_err() {
            // Ignored: the first error is the one to return.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    /// Creates a symbolic link.
    pub fn create_link(&mut self, path: &Path, to: &Path) -> anyhow::Result<Change> {
        if std::fs::read_link(path).is_ok_and(|target| target == to) {
            return Ok(Change::Unchanged);
        }
        let change = self.claim(path)?;
        let dir = path.parent().context("a link is in a directory")?;
        let temporary = dir.join(format!(".tmp-{}", files::random_hex()?));
        symlink(to, &temporary)
            .and_then(|()| std::fs::rename(&temporary, path))
            .with_context(|| format!("linking {}", path.display()))?;
        Ok(change)
    }

    /// Records that this program creates the path. A file that already exists and that it did not create is renamed.
    fn claim(&mut self, path: &Path) -> anyhow::Result<Change> {
        let kept = self
            .content
            .installed
            .iter()
            .find_map(|installed| match installed {
                Installed::Replaced { path: other, kept } if other == path => Some(kept),
                _ => None,
            });
        let exists = path.symlink_metadata().is_ok();
        if let Some(kept) = kept.filter(|kept| exists && kept.symlink_metadata().is_err()) {
            // The entry was recorded, but that run was killed before the rename.
            std::fs::rename(path, kept).with_context(|| format!("renaming {}", path.display()))?;
        }
        if self.created(path) {
            return Ok(Change::Updated);
        }
        if !exists {
            self.record(Installed::File(path.to_owned()))?;
            return Ok(Change::Created);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept = path.with_file_name(format!(".{name}.before-remote-buildkit"));
        self.record(Installed::Replaced {
            path: path.to_owned(),
            kept: kept.clone(),
        })?;
        std::fs::rename(path, &kept).with_context(|| format!("renaming {}", path.display()))?;
        Ok(Change::Created)
    }

    /// Removes everything that was created, in reverse order, and the manifest itself. A directory with other files
    /// stays.
    pub fn undo(mut self) -> anyhow::Result<()> {
        while let Some(installed) = self.content.installed.pop() {
            undo(&installed)?;
        }
        Ok(())
    }

    /// Records an entry, before it is created.
    fn record(&mut self, installed: Installed) -> anyhow::Result<()> {
        self.content.installed.push(installed);
        self.write()
    }

    /// Writes the file. The first entries are the directories that were created for it, and the file itself, so that
    /// they are removed last.
    fn write(&mut self) -> anyhow::Result<()> {
        if !self.created(&self.path) {
            let dir = self.path.parent().context("a manifest is in a directory")?;
            let mut own: Vec<Installed> = Vec::new();
            let missing = dir.ancestors().take_while(|dir| !dir.exists());
            let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
            for dir in missing.into_iter().rev() {
                make_dir(&dir, 0o700)?;
                own.push(Installed::Dir(dir));
            }
            own.push(Installed::File(self.path.clone()));
            self.content.installed.splice(0..0, own);
        }
        let text = serde_json::to_vec_pretty(&self.content).context("writing the manifest as JSON")?;
        files::write_private(&self.path, &text)
    }
}

/// Removes an entry, or restores what it replaced. An entry that no longer exists is not an error.
fn undo(installed: &Installed) -> anyhow::Result<()> {
    let ignore_missing = |result: std::io::Result<()>, path: &Path| match result {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    };
    match installed {
        Installed::File(path) => ignore_missing(std::fs::remove_file(path), path),
        Installed::Replaced { path, kept } => ignore_missing(std::fs::rename(kept, path), path),
        Installed::Dir(path) => match std::fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            result => ignore_missing(result, path),
        },
    }
}

/// Creates a directory with this mode, regardless of the umask.
fn make_dir(path: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::create_dir(path)
        .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)))
        .with_context(|| format!("creating {}", path.display()))
}

/// Returns whether the file is an executable with this content.
fn is_identical(path: &Path, content: &mut File) -> anyhow::Result<bool> {
    use std::io::{Read, Seek};
    let Ok(mut existing) = File::open(path) else {
        return Ok(false);
    };
    let metadata = existing
        .metadata()
        .with_context(|| format!("reading {}", path.display()))?;
    let is_executable = metadata.permissions().mode() & 0o111 == 0o111;
    if !is_executable || metadata.len() != content.metadata().context("reading the new file")?.len() {
        return Ok(false);
    }
    content.rewind().context("reading the new file")?;
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = existing
            .read(&mut a)
            .with_context(|| format!("reading {}", path.display()))?;
        if read == 0 {
            return Ok(true);
        }
        content
            .read_exact(&mut b[..read])
            .context("reading the new file")?;
        if a[..read] != b[..read] {
            return Ok(false);
        }
    }
}

/// Writes the content to a new executable file.
fn copy(content: &mut File, path: &Path) -> anyhow::Result<()> {
    use std::io::Seek;
    content.rewind().context("reading the new file")?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(path)
        .context("creating the file")?;
    std::io::copy(content, &mut file).context("copying the content")?;
    // The umask may have removed bits of the mode.
    file.set_permissions(Permissions::from_mode(0o755))
        .context("making the file executable")
}

/// Returns the error for a manifest that cannot be parsed.
fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(
        ErrorCode::InvalidInstallManifest,
        format!(
            "Cannot parse {}, which records what remote-buildkit installed on this machine: invalid JSON: {error}.",
            path.display()
        ),
        "Remove that file. The programs that it lists stay on the machine; remove them by hand if nothing else uses them. The \
         original of a replaced file is kept beside it as .NAME.before-remote-buildkit.",
    )
}

#[cfg(test)]
mod tests;
