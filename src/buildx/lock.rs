//! The lock of buildx's directory (docker/buildx, store/store.go).

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error_code::ErrorCode;
use crate::files::{PathOwner, not_written};
use crate::problem::Problem;

/// How long to wait for the lock. buildx holds it only briefly. A lock that is never released must make a step fail,
/// not hang.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The interval between two attempts to acquire the lock.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// buildx's lock. Once acquired, it is released on drop.
#[derive(Debug)]
pub(super) struct BuildxLock {
    path: PathBuf,
    file: File,
    deadline: Instant,
}

impl BuildxLock {
    /// Opens the lock of a buildx directory, which is created if it does not exist.
    pub(super) fn open(root: &Path) -> anyhow::Result<Self> {
        let created = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root.join("instances"));
        created.map_err(|error| not_written(root, PathOwner::Buildx, &error))?;
        Self::new(root.join(".lock"), LOCK_TIMEOUT)
    }

    /// Opens a lock file, which is created if it does not exist.
    fn new(path: PathBuf, timeout: Duration) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| not_written(&path, PathOwner::Buildx, &error))?;
        Ok(Self {
            path,
            file,
            deadline: Instant::now() + timeout,
        })
    }

    /// Acquires the lock if it is free. Returns `false` if another process holds it, and an error after the timeout.
    pub(super) fn try_acquire(&self) -> anyhow::Result<bool> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) if Instant::now() < self.deadline => Ok(false),
            Err(Errno::WOULDBLOCK) => Err(Problem::new(
                ErrorCode::BuildxDirLocked,
                format!(
                    "Waited {1} s for buildx's lock {0}: another process holds it.",
                    self.path.display(),
                    LOCK_TIMEOUT.as_secs()
                ),
                "Stop that process (fuser shows its ID): a buildx that hangs, or a buildx on another machine that shares this home \
                 directory.",
            )
            .into()),
            Err(error) => Err(error).with_context(|| format!("locking {}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_released_is_an_error() {
        let dir = tempfile::tempdir().expect("directory");
        let lock = |timeout| BuildxLock::new(dir.path().join(".lock"), timeout).expect("open");
        let held = lock(Duration::ZERO);
        assert!(held.try_acquire().expect("free"));
        let waiting = lock(Duration::from_secs(60));
        assert!(!waiting.try_acquire().expect("held"));
        let error = lock(Duration::ZERO).try_acquire().expect_err("held");
        let text = error
            .to_string()
            .replace(&*dir.path().to_string_lossy(), "~/.docker/buildx");
        insta::assert_snapshot!(text);
        drop(held);
        assert!(waiting.try_acquire().expect("free again"));
    }
}
