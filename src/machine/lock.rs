//! One run at a time: cloud-init and a unit may start two at one boot.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Another run may deploy an agent meanwhile.
const WITHIN: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Held until it is dropped, or another program takes this one's place.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing it lets go")] File);

impl Lock {
    /// Of a folder that is there whatever is made. Nothing is written into it.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        Self::within(folder, WITHIN)
    }

    fn within(folder: &Path, within: Duration) -> anyhow::Result<Self> {
        let file = File::open(folder).with_context(|| format!("opening {}", folder.display()))?;
        let until = Instant::now() + within;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
                Err(TryLockError::WouldBlock) => bail!(
                    "another run of this command goes on for {} s already: it holds the lock of {}",
                    within.as_secs(),
                    folder.display()
                ),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("locking {}", folder.display()));
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
        let folder = tempfile::tempdir().expect("folder");
        let first = Lock::of(folder.path()).expect("free");
        let error = Lock::within(folder.path(), Duration::ZERO).expect_err("held");
        assert!(error.to_string().contains("another run"), "{error}");
        drop(first);
        Lock::within(folder.path(), Duration::ZERO).expect("free again");
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 0);
    }
}
