//! What the kernel forbids by default on some distributions and rootless BuildKit needs, allowed while the lab is up.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Ubuntu's since 23.10: with it on, a user namespace of a user's has no capabilities
/// (moby/buildkit, docs/rootless.md). Other kernels do not have the file.
const RESTRICTED: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const NOTE: &str = "restricted_userns";

pub(crate) fn allow_user_namespaces(dir: &Path) -> Result<()> {
    turn_off(Path::new(RESTRICTED), &dir.join(NOTE))
}

pub(crate) fn restore(dir: &Path) -> Result<()> {
    put_back(Path::new(RESTRICTED), &dir.join(NOTE))
}

fn turn_off(setting: &Path, note: &Path) -> Result<()> {
    let Ok(before) = fs::read(setting) else {
        return Ok(());
    };
    fs::write(note, before)?;
    fs::write(setting, "0").with_context(|| format!("could not write {}", setting.display()))
}

fn put_back(setting: &Path, note: &Path) -> Result<()> {
    let Ok(before) = fs::read(note) else {
        return Ok(());
    };
    fs::write(setting, before).with_context(|| format!("could not write {}", setting.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_put_back_and_one_that_is_not_there_stays_away() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (setting, note) = (dir.path().join("setting"), dir.path().join("note"));
        turn_off(&setting, &note)?;
        put_back(&setting, &note)?;
        assert!(!setting.exists());

        fs::write(&setting, "1\n")?;
        turn_off(&setting, &note)?;
        assert_eq!(fs::read_to_string(&setting)?, "0");
        put_back(&setting, &note)?;
        assert_eq!(fs::read_to_string(&setting)?, "1\n");
        Ok(())
    }
}
