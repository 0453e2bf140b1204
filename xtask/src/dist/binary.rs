//! Checks every binary in dist/: size, mode, architecture, static linking.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Target, output};

/// The size limit: every job downloads both binaries.
const MAX_BYTES: usize = 9_000_000;

pub(super) fn check(target: &Target, path: &Path) -> Result<()> {
    let shown = path.display();
    let bytes = fs::read(path)
        .with_context(|| format!("{shown} does not exist; build it with `cargo xtask dist`"))?;
    ensure!(
        bytes.len() <= MAX_BYTES,
        "{shown} has {} bytes; at most {MAX_BYTES} are allowed",
        bytes.len()
    );
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    ensure!(mode == 0o755, "{shown} has mode {mode:o}, not 755");

    let elf = Elf::parse(&bytes).with_context(|| format!("{shown} is not a 64-bit ELF file"))?;
    ensure!(
        elf.machine == target.machine,
        "{shown} is not for {}",
        target.triple
    );
    ensure!(!elf.interpreter, "{shown} is not static: it has a dynamic loader");

    let ran = match start(target, path) {
        Some(mut command) => output(command.arg("-V"))?,
        None => format!("not run: {} is not installed", target.emulator),
    };
    println!(
        "dist/{}: {} bytes, static, {}",
        target.binary,
        bytes.len(),
        ran.trim()
    );
    Ok(())
}

/// Returns the command that runs a binary, or `None` if this machine cannot run it.
fn start(target: &Target, path: &Path) -> Option<Command> {
    if target.triple.starts_with(std::env::consts::ARCH) {
        return Some(Command::new(path));
    }
    Command::new(target.emulator).arg("--version").output().ok()?;
    let mut emulator = Command::new(target.emulator);
    emulator.arg(path);
    Some(emulator)
}

struct Elf {
    machine: u16,
    interpreter: bool,
}

impl Elf {
    /// Both targets are little-endian.
    fn parse(bytes: &[u8]) -> Option<Self> {
        const PT_INTERP: &[u8] = &3u32.to_le_bytes();
        let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let headers = usize::try_from(u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?)).ok()?;
        let (size, count) = (short(54)?.into(), short(56)?.into());
        if size == 0 {
            return None;
        }
        let mut headers = bytes.get(headers..)?.chunks_exact(size).take(count);
        Some(Self {
            machine: short(18)?,
            interpreter: headers.any(|header| header.starts_with(PT_INTERP)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_and_static_binaries_are_distinguished() -> Result<()> {
        let own = fs::read(std::env::current_exe()?)?;
        let elf = Elf::parse(&own).context("the test is an ELF file")?;
        assert_eq!(elf.interpreter, cfg!(not(target_feature = "crt-static")));
        assert!(Elf::parse(b"#!/bin/sh\n").is_none());
        Ok(())
    }
}
