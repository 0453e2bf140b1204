//! Writes files atomically, readable only by their owner.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ring::rand::SecureRandom as _;

use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// The kind of a file, which decides which environment variable sets another location for it.
#[derive(Debug, Clone, Copy)]
pub enum PathOwner {
    /// The job's own files.
    Temporary,
    Buildx,
    Docker,
    /// A file through which a step passes values to the runner. The string is the variable that contains its path.
    Runner(&'static str),
}

impl PathOwner {
    /// Returns the part of a remedy that says how to use another location.
    fn relocation_hint(self) -> String {
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
pub fn not_written(path: &Path, place: PathOwner, error: &io::Error) -> Problem {
    let remedy = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "Free space on its file system",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "Give this user write permission",
        ErrorKind::NotFound | ErrorKind::NotADirectory => "Create its parent directory",
        _ => "Check the file system",
    };
    Problem::new(
        ErrorCode::CannotWriteFile,
        format!("Cannot write {} on this machine: {error}.", path.display()),
        format!("{remedy}; {}.", place.relocation_hint()),
    )
}

/// Writes a file with mode 0600 by renaming a temporary file over it. A file that already has this mode and content
/// is not written.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let is_private = |metadata: Metadata| metadata.mode() & 0o777 == 0o600;
    let metadata = std::fs::symlink_metadata(path);
    if metadata.is_ok_and(is_private) && std::fs::read(path).is_ok_and(|existing| existing == content) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    write_private_through(dir, path, content, PathOwner::Temporary)
}

/// Writes a file with mode 0600 by renaming a temporary file over it. The temporary file is created in
/// `temporary_dir`, which must be on the same file system.
pub fn write_private_through(
    temporary_dir: &Path,
    path: &Path,
    content: &[u8],
    place: PathOwner,
) -> anyhow::Result<()> {
    let temporary = temporary_dir.join(format!(".tmp-{}", random_hex()?));
    let result = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        // Only the error of the write is reported.
        let _ = std::fs::remove_file(&temporary);
    }
    result.map_err(|error| not_written(path, place, &error).into())
}

/// Replaces a file and keeps its mode and owner; a new file has mode 0600.
pub fn replace(path: &Path, content: &[u8], place: PathOwner) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let temporary = dir.join(format!(".tmp-{}", random_hex()?));
    let result = write_like(&temporary, content, std::fs::metadata(path).ok())
        .and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        // Only the error of the write is reported.
        let _ = std::fs::remove_file(&temporary);
    }
    result.map_err(|error| not_written(path, place, &error).into())
}

/// Creates a file with the mode and owner of another one, or with mode 0600 if there is none.
fn write_like(path: &Path, content: &[u8], original: Option<Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    let Some(original) = original else {
        return Ok(());
    };
    let created = file.metadata()?;
    if (created.uid(), created.gid()) != (original.uid(), original.gid()) {
        std::os::unix::fs::fchown(&file, Some(original.uid()), Some(original.gid()))?;
    }
    file.set_permissions(original.permissions())
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
pub fn private_dir(parent: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let dir = parent.join(name);
    let created = DirBuilder::new().mode(0o700).create(&dir);
    created.map_err(|error| not_written(&dir, PathOwner::Temporary, &error))?;
    Ok(dir)
}

/// Returns eight random hexadecimal digits.
pub fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    // Not rustix's: it has none for macOS.
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the operating system returned no random bytes"))?;
    Ok(format!("{:08x}", u32::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_whole_and_0600() {
        let dir = private_dir(
            &std::env::temp_dir(),
            &format!("rbk-{}", random_hex().expect("random")),
        )
        .expect("directory");
        let path = dir.join("f");
        std::fs::write(&path, "old").expect("old");
        write_private(&path, b"new").expect("write");
        assert_eq!(std::fs::read(&path).expect("read"), b"new");
        let mode = std::fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&dir).expect("list").count(), 1);
        std::fs::remove_dir_all(dir).expect("clean");
    }
}
