//! Registers an emulator for programs of another architecture with the kernel (binfmt_misc).
//! <https://docs.kernel.org/admin-guide/binfmt-misc.html>

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

const DIR: &str = "/proc/sys/fs/binfmt_misc";
/// The name of the lab's registration. An existing registration of the machine may lack the flag F. If two match, the kernel
/// uses the newer one.
const NAME: &str = "rbk-aarch64";
/// ELF, 64 bits, little-endian, executable or shared, AArch64: as qemu-user-static itself registers it.
const MAGIC: &str = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00";
const MASK: &str = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
/// F: the emulator is opened now, so containers need not have it. P, O, C: it gets the program's own first argument,
/// an open file where that cannot be read, and the rights of a setuid program.
const FLAGS: &str = "POCF";

/// Registers `emulator` for arm64 programs.
pub(crate) fn register(dir: &Path, emulator: &Path) -> Result<()> {
    let register = Path::new(DIR).join("register");
    // Where systemd automounts it, accessing the file mounts it.
    if !register.exists() {
        fs::write(note(dir, "mounted"), "")?;
        let mut mount = Command::new("mount");
        command::output(mount.args(["-t", "binfmt_misc", "binfmt_misc", DIR]))
            .context("the kernel has no binfmt_misc (CONFIG_BINFMT_MISC), which arm64 programs need")?;
    }
    fs::write(note(dir, "registered"), "")?;
    // Left over from a lab that was killed; its emulator may not exist any more.
    unregister()?;
    fs::write(&register, line(emulator)).with_context(|| format!("could not register {}", emulator.display()))
}

fn line(emulator: &Path) -> String {
    format!(":{NAME}:M::{MAGIC}:{MASK}:{}:{FLAGS}", emulator.display())
}

/// Undoes what was done for the lab in `dir` and returns what failed.
pub(crate) fn remove(dir: &Path) -> Vec<String> {
    let mut failed = Vec::new();
    if note(dir, "registered").exists()
        && let Err(error) = unregister()
    {
        failed.push(format!("{error:#}"));
    }
    if note(dir, "mounted").exists()
        && Path::new(DIR).join("register").exists()
        && let Err(error) = command::output(Command::new("umount").arg(DIR))
    {
        failed.push(format!("{error:#}"));
    }
    failed
}

fn unregister() -> Result<()> {
    let entry = Path::new(DIR).join(NAME);
    if entry.exists() {
        fs::write(&entry, "-1").with_context(|| format!("could not remove {}", entry.display()))?;
    }
    Ok(())
}

/// Returns the names of all registrations, for [`crate::HostSnapshot`].
pub(crate) fn registered() -> Vec<String> {
    let entries = fs::read_dir(DIR).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn note(dir: &Path, what: &str) -> std::path::PathBuf {
    dir.join(format!("binfmt-{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel compares the first bytes of a program, masked, with the magic ones, masked.
    fn takes(header: &[u8]) -> bool {
        let bytes = |text: &str| -> Vec<u8> {
            let hex = text.split("\\x").skip(1);
            hex.map(|byte| u8::from_str_radix(byte, 16).expect("a byte"))
                .collect()
        };
        let (magic, mask) = (bytes(MAGIC), bytes(MASK));
        assert_eq!(magic.len(), mask.len());
        let fits = |((byte, magic), mask): ((&u8, &u8), &u8)| byte & mask == magic & mask;
        header.iter().zip(&magic).zip(&mask).all(fits)
    }

    #[test]
    fn only_arm64_programs_go_to_the_emulator() {
        let header = |kind: u8, machine: u8| {
            let mut header = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0";
            (header[16], header[18]) = (kind, machine);
            header
        };
        let (executable, shared, relocatable) = (2, 3, 1);
        let (x86_64, aarch64) = (62, 183);
        assert!(takes(&header(executable, aarch64)) && takes(&header(shared, aarch64)));
        assert!(!takes(&header(executable, x86_64)) && !takes(&header(shared, x86_64)));
        assert!(!takes(&header(relocatable, aarch64)));
    }

    #[test]
    fn a_registration_has_the_fields_of_the_kernels_format() {
        let line = line(Path::new("/cache/qemu-aarch64"));
        let fields: Vec<&str> = line.split(':').collect();
        assert_eq!(fields[..4], ["", "rbk-aarch64", "M", ""]);
        assert_eq!(fields[6..], ["/cache/qemu-aarch64", "POCF"]);
    }
}
