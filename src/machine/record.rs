//! What was made on the machine, written down before it is made. By it everything can be taken away again, and nothing
//! else is.

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

/// The file of it, and what is in it.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    /// For whom.
    users: BTreeSet<String>,
    /// In the order in which it was made.
    made: Vec<Made>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Made {
    Folder(PathBuf),
    /// A file or a link.
    File(PathBuf),
    /// What was there before has another name for as long as ours is there.
    Replaced {
        path: PathBuf,
        kept: PathBuf,
    },
}

impl Made {
    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::File(path) | Self::Replaced { path, .. } => path,
        }
    }
}

/// What became of something that is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Made,
    /// It is ours, and was another version.
    Renewed,
    AlreadyThere,
}

impl Record {
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let content = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            Ok(text) => serde_json::from_slice(&text).map_err(|error| unreadable(path, &error))?,
        };
        Ok(Self {
            path: path.to_owned(),
            content,
        })
    }

    /// Whether anything was made.
    pub fn is_empty(&self) -> bool {
        self.content == Content::default()
    }

    /// Whether this was made, and was not there before.
    pub fn has_made(&self, path: &Path) -> bool {
        self.content.made.iter().any(|made| made.path() == path)
    }

    /// Whether nobody is written down for whom it was made.
    pub fn is_of_nobody(&self) -> bool {
        self.content.users.is_empty()
    }

    /// Writes down for whom it is made. Whether that is new.
    pub fn add_user(&mut self, name: &str) -> anyhow::Result<bool> {
        let is_new = self.content.users.insert(name.to_owned());
        if is_new {
            self.write()?;
        }
        Ok(is_new)
    }

    /// Whether nobody is left then for whom it was made.
    pub fn remove_user(&mut self, name: &str) -> anyhow::Result<bool> {
        if self.content.users.remove(name) {
            self.write()?;
        }
        Ok(self.content.users.is_empty())
    }

    /// A folder and those that it is in.
    pub fn folder(&mut self, path: &Path, mode: u32) -> anyhow::Result<()> {
        if !path.exists() {
            // Its own folder may be one of them.
            self.write()?;
        }
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.exists())
            .map(Path::to_owned)
            .collect();
        for folder in missing.into_iter().rev() {
            self.note(Made::Folder(folder.clone()))?;
            make_folder(&folder, mode)?;
        }
        Ok(())
    }

    /// A program with that content, which is tried beside its place. One that is there and not ours gets another name for
    /// the while.
    pub fn program(
        &mut self,
        path: &Path,
        content: &mut File,
        works: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Change> {
        if same(path, content)? {
            return Ok(Change::AlreadyThere);
        }
        let folder = path.parent().context("a program is in a folder")?;
        self.folder(folder, 0o755)?;
        let beside = folder.join(format!(".tmp-{}", files::random_hex()?));
        let written = copy(content, &beside)
            .with_context(|| format!("writing {}", beside.display()))
            .and_then(|()| works(&beside))
            .and_then(|()| self.make_room(path))
            .and_then(|change| {
                let moved = std::fs::rename(&beside, path);
                moved.with_context(|| format!("writing {}", path.display()))?;
                Ok(change)
            });
        if written.is_err() {
            // The error of the write is the one to report.
            let _ = std::fs::remove_file(&beside);
        }
        written
    }

    /// A link.
    pub fn link(&mut self, path: &Path, to: &Path) -> anyhow::Result<Change> {
        if std::fs::read_link(path).is_ok_and(|there| there == to) {
            return Ok(Change::AlreadyThere);
        }
        let change = self.make_room(path)?;
        let folder = path.parent().context("a link is in a folder")?;
        let beside = folder.join(format!(".tmp-{}", files::random_hex()?));
        symlink(to, &beside)
            .and_then(|()| std::fs::rename(&beside, path))
            .with_context(|| format!("linking {}", path.display()))?;
        Ok(change)
    }

    /// Writes down that ours is at the path, and moves away what is not.
    fn make_room(&mut self, path: &Path) -> anyhow::Result<Change> {
        let kept = self.content.made.iter().find_map(|made| match made {
            Made::Replaced { path: of, kept } if of == path => Some(kept),
            _ => None,
        });
        let is_there = path.symlink_metadata().is_ok();
        if let Some(kept) = kept.filter(|kept| is_there && kept.symlink_metadata().is_err()) {
            // Written down, and killed before it was done.
            std::fs::rename(path, kept).with_context(|| format!("renaming {}", path.display()))?;
        }
        if self.has_made(path) {
            return Ok(Change::Renewed);
        }
        if !is_there {
            self.note(Made::File(path.to_owned()))?;
            return Ok(Change::Made);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let kept = path.with_file_name(format!(".{name}.before-remote-buildkit"));
        self.note(Made::Replaced {
            path: path.to_owned(),
            kept: kept.clone(),
        })?;
        std::fs::rename(path, &kept).with_context(|| format!("renaming {}", path.display()))?;
        Ok(Change::Made)
    }

    /// Takes away all that was made, the last first, and the record with it. A folder stays in which there is something of
    /// others.
    pub fn undo(mut self) -> anyhow::Result<()> {
        while let Some(made) = self.content.made.pop() {
            undo(&made)?;
        }
        Ok(())
    }

    fn note(&mut self, made: Made) -> anyhow::Result<()> {
        self.content.made.push(made);
        self.write()
    }

    /// Its own folders, and itself, are the first thing in it.
    fn write(&mut self) -> anyhow::Result<()> {
        if !self.has_made(&self.path) {
            let folder = self.path.parent().context("a record is in a folder")?;
            let mut own: Vec<Made> = Vec::new();
            let missing = folder.ancestors().take_while(|folder| !folder.exists());
            let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
            for folder in missing.into_iter().rev() {
                make_folder(&folder, 0o700)?;
                own.push(Made::Folder(folder));
            }
            own.push(Made::File(self.path.clone()));
            self.content.made.splice(0..0, own);
        }
        let text = serde_json::to_vec_pretty(&self.content).context("the record to JSON")?;
        files::write_private(&self.path, &text)
    }
}

fn undo(made: &Made) -> anyhow::Result<()> {
    let gone = |done: std::io::Result<()>, path: &Path| match done {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    };
    match made {
        Made::File(path) => gone(std::fs::remove_file(path), path),
        Made::Replaced { path, kept } => gone(std::fs::rename(kept, path), path),
        Made::Folder(path) => match std::fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            done => gone(done, path),
        },
    }
}

fn make_folder(path: &Path, mode: u32) -> anyhow::Result<()> {
    std::fs::create_dir(path)
        .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)))
        .with_context(|| format!("making {}", path.display()))
}

/// Whether the file there is a program with this content.
fn same(path: &Path, content: &mut File) -> anyhow::Result<bool> {
    use std::io::{Read, Seek};
    let Ok(mut there) = File::open(path) else {
        return Ok(false);
    };
    let metadata = there.metadata().context("looking at it")?;
    let runs = metadata.permissions().mode() & 0o111 == 0o111;
    if !runs || metadata.len() != content.metadata().context("looking at it")?.len() {
        return Ok(false);
    }
    content.rewind().context("reading it")?;
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = there
            .read(&mut a)
            .with_context(|| format!("reading {}", path.display()))?;
        if read == 0 {
            return Ok(true);
        }
        content.read_exact(&mut b[..read]).context("reading it")?;
        if a[..read] != b[..read] {
            return Ok(false);
        }
    }
}

fn copy(content: &mut File, path: &Path) -> anyhow::Result<()> {
    use std::io::Seek;
    content.rewind().context("reading it")?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(path)
        .context("making it")?;
    std::io::copy(content, &mut file).context("copying it")?;
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(0o755))
        .context("making it a program")
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(
        ErrorCode::InvalidInstallManifest,
        format!(
            "Read {}, in which is written what this program made on this machine, and {error}.",
            path.display()
        ),
        "Remove that file; what it names stays then, and is found by the paths in it.",
    )
}

#[cfg(test)]
mod tests;
