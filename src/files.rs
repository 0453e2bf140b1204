//! Writes files atomically, readable only by their owner.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// What a file belongs to, which decides the variable that moves it.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// The job's own files.
    Temporary,
    Buildx,
    Docker,
    /// Files through which a step talks to the runner, by the variable that names one.
    Runner(&'static str),
}

impl Place {
    fn elsewhere(self) -> String {
        match self {
            Self::Temporary => {
                "to use another directory, set RUNNER_TEMP, or XDG_RUNTIME_DIR outside of a job".into()
            }
            Self::Buildx => "to use another directory, set BUILDX_CONFIG, DOCKER_CONFIG or HOME".into(),
            Self::Docker => "to use another directory, set DOCKER_CONFIG or HOME".into(),
            Self::Runner(variable) => format!("the runner creates that file and sets {variable} to its path"),
        }
    }
}

/// Returns the error for a file that cannot be written.
pub fn not_written(path: &Path, place: Place, error: &io::Error) -> Problem {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Free space on its file system",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "Give this user write permission",
        ErrorKind::NotFound | ErrorKind::NotADirectory => "Create its parent directory",
        _ => "Check the file system",
    };
    Problem::new(
        ErrorCode::CannotWriteFile,
        format!("Cannot write {} on this machine: {error}.", path.display()),
        format!("{remedy}; {}.", place.elsewhere()),
    )
}

/// Writes a file with mode 0600 by renaming a temporary file over it. A file that already has this content is not written.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let private = |there: Metadata| there.mode() & 0o777 == 0o600;
    let there = std::fs::symlink_metadata(path);
    if there.is_ok_and(private) && std::fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    write_private_through(folder, path, content, Place::Temporary)
}

/// Writes a file with mode 0600 by renaming a temporary file, in a directory on the same file system, over it.
pub fn write_private_through(
    temporary: &Path,
    path: &Path,
    content: &[u8],
    place: Place,
) -> anyhow::Result<()> {
    let temporary = temporary.join(format!(".tmp-{}", random_hex()?));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The error of the write is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(|error| not_written(path, place, &error).into())
}

/// Replaces a file and keeps its mode and owner; a new file has mode 0600.
pub fn replace(path: &Path, content: &[u8], place: Place) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let beside = folder.join(format!(".tmp-{}", random_hex()?));
    let written = write_as(&beside, content, std::fs::metadata(path).ok())
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // The error of the write is the one to report.
        let _ = std::fs::remove_file(&beside);
    }
    written.map_err(|error| not_written(path, place, &error).into())
}

fn write_as(path: &Path, content: &[u8], like: Option<Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    let Some(like) = like else {
        return Ok(());
    };
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        std::os::unix::fs::fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    file.set_permissions(like.permissions())
}

/// Removes a file if it exists.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Creates a directory with mode 0700. Fails if it exists.
pub fn private_folder(parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = parent.join(name);
    let made = DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|error| not_written(&folder, Place::Temporary, &error))?;
    Ok(folder)
}

/// Returns eight random hexadecimal digits.
pub fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .context("reading random bytes")?;
    Ok(format!("{:08x}", u32::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_whole_and_0600() {
        let folder = private_folder(
            &std::env::temp_dir(),
            &format!("rbk-{}", random_hex().expect("random")),
        )
        .expect("folder");
        let path = folder.join("f");
        std::fs::write(&path, "old").expect("old");
        write_private(&path, b"new").expect("write");
        assert_eq!(std::fs::read(&path).expect("read"), b"new");
        let mode = std::fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder).expect("list").count(), 1);
        std::fs::remove_dir_all(folder).expect("clean");
    }
}
