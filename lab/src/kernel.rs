//! Enables unprivileged user namespaces while the lab is up: rootless BuildKit needs them, some distributions disable them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The setting of Ubuntu since 23.10 that denies capabilities in an unprivileged user namespace
/// (moby/buildkit, docs/rootless.md). Other kernels do not have the file.
const RESTRICTED: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const NOTE: &str = "restricted_userns";

pub(crate) fn allow_user_namespaces(dir: &Path) -> Result<()> {
    turn_off(Path::new(RESTRICTED), &dir.join(NOTE))
}

pub(crate) fn restore(dir: &Path) -> Result<()> {
    restore_setting(Path::new(RESTRICTED), &dir.join(NOTE))
}

fn turn_off(setting: &Path, note: &Path) -> Result<()> {
    let Ok(before) = fs::read(setting) else {
        return Ok(());
    };
    fs::write(note, before)?;
    fs::write(setting, "0").with_context(|| format!("could not write {}", setting.display()))
}

fn restore_setting(setting: &Path, note: &Path) -> Result<()> {
    let Ok(before) = fs::read(note) else {
        return Ok(());
    };
    fs::write(setting, before).with_context(|| format!("could not write {}", setting.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_restored_and_a_missing_one_is_not_created() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (setting, note) = (dir.path().join("setting"), dir.path().join("note"));
        turn_off(&setting, &note)?;
        restore_setting(&setting, &note)?;
        assert!(!setting.exists());

        fs::write(&setting, "1\n")?;
        turn_off(&setting, &note)?;
        assert_eq!(fs::read_to_string(&setting)?, "0");
        restore_setting(&setting, &note)?;
        assert_eq!(fs::read_to_string(&setting)?, "1\n");
        Ok(())
    }
}
