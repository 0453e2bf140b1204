//! buildx's lock (docker/buildx, store/store.go).

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error_code::ErrorCode;
use crate::files::{Place, not_written};
use crate::problem::Problem;

/// buildx holds its lock for moments. One that is never let go shall fail a step rather than hang it.
const LOCK_WITHIN: Duration = Duration::from_secs(10);

pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// buildx's lock, held once it is taken and until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
    deadline: Instant,
}

impl Lock {
    /// Of the folder, which is made if there is none.
    pub(super) fn of(root: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root.join("instances"));
        made.map_err(|error| not_written(root, Place::Buildx, &error))?;
        Self::new(root.join(".lock"), LOCK_WITHIN)
    }

    fn new(path: PathBuf, within: Duration) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| not_written(&path, Place::Buildx, &error))?;
        Ok(Self {
            path,
            file,
            deadline: Instant::now() + within,
        })
    }

    /// Takes it, unless another process has it. An error when that takes too long.
    pub(super) fn taken(&self) -> anyhow::Result<bool> {
        match rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) if Instant::now() < self.deadline => Ok(false),
            Err(Errno::WOULDBLOCK) => Err(Problem::new(
                ErrorCode::BuildxDirLocked,
                format!(
                    "Waited for buildx's lock {} for {} s, and another process holds it.",
                    self.path.display(),
                    LOCK_WITHIN.as_secs()
                ),
                "A buildx that hangs holds it, or one on another machine that shares this home: fuser shows which process.",
            )
            .into()),
            Err(error) => Err(error).with_context(|| format!("taking buildx's lock {}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_never_let_go_is_an_error() {
        let folder = tempfile::tempdir().expect("folder");
        let lock = |within| Lock::new(folder.path().join(".lock"), within).expect("open");
        let held = lock(Duration::ZERO);
        assert!(held.taken().expect("free"));
        let waits = lock(Duration::from_secs(60));
        assert!(!waits.taken().expect("held"));
        let error = lock(Duration::ZERO).taken().expect_err("held");
        assert!(error.to_string().contains("another process holds it"), "{error}");
        drop(held);
        assert!(waits.taken().expect("free again"));
    }
}
