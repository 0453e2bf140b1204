//! The lock that allows only one run at a time: at boot, cloud-init and a systemd unit may start two runs.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long to wait for the lock. It is long, because the other run may be deploying an agent.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A lock that is held until it is dropped, or the process is replaced.
#[derive(Debug)]
pub struct MachineLock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl MachineLock {
    /// Locks an existing directory, without writing to it.
    pub fn acquire(dir: &Path) -> anyhow::Result<Self> {
        Self::acquire_within(dir, LOCK_TIMEOUT)
    }

    /// Locks a directory, and waits no longer than the timeout.
    fn acquire_within(dir: &Path, timeout: Duration) -> anyhow::Result<Self> {
        let file = File::open(dir).with_context(|| format!("opening {}", dir.display()))?;
        let deadline = Instant::now() + timeout;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(POLL_INTERVAL)
                }
                Err(TryLockError::WouldBlock) => bail!(
                    "another run of this command has held the lock of {1} for {0} s. Wait until it ends, or stop it",
                    timeout.as_secs(),
                    dir.display()
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", dir.display()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_waits_for_the_first() {
        let dir = tempfile::tempdir().expect("dir");
        let first = MachineLock::acquire(dir.path()).expect("free");
        let error = MachineLock::acquire_within(dir.path(), Duration::ZERO).expect_err("held");
        assert!(error.to_string().contains("another run"), "{error}");
        drop(first);
        MachineLock::acquire_within(dir.path(), Duration::ZERO).expect("free again");
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 0);
    }
}
