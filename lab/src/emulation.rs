//! The parts of an arm64 node on a machine of another architecture: an emulator and arm64 programs.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::architecture::Architecture;
use crate::cache::{Cache, Key};
use crate::images::{Native, Programs};
use crate::{cancel, debian, go, kubelet};

#[derive(Debug)]
pub(crate) struct Emulation {
    pub(crate) architecture: Architecture,
    pub(crate) qemu: PathBuf,
    pub(crate) busybox: PathBuf,
    /// The directory of buildkitd and buildctl.
    pub(crate) buildkit: PathBuf,
    /// The directory of the kubelet.
    pub(crate) kubelet: PathBuf,
}

impl Emulation {
    pub(crate) fn programs<'a>(&'a self, native: Native<'a>) -> Programs<'a> {
        Programs {
            architecture: self.architecture,
            busybox: &self.busybox,
            buildkit: &self.buildkit,
            native,
        }
    }
}

/// Builds the parts. Returns `None` on an arm64 machine, and where apt offers no packages for arm64: the lab's first node does
/// not need them.
pub(crate) fn install(cache: &Cache) -> Result<Option<Emulation>> {
    let architecture = Architecture::Arm64;
    if architecture.is_native() {
        return Ok(None);
    }
    let busybox = match busybox(cache, architecture) {
        Ok(busybox) => busybox,
        Err(why) => {
            cancel::check()?;
            eprintln!("  the lab has no arm64 node: {why:#}");
            return Ok(None);
        }
    };
    Ok(Some(Emulation {
        architecture,
        busybox,
        qemu: qemu(cache)?,
        buildkit: go::buildkit(cache, architecture)?,
        kubelet: kubelet::install(cache, architecture)?,
    }))
}

/// Builds the entry of QEMU's user mode, linked statically: a container has no libraries of the host.
fn qemu(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new(format!("qemu {}", debian::release()?));
    let dir = cache.entry(&key, |dir| {
        let unpacked = dir.join("unpacked");
        debian::unpack(&unpacked, &["qemu-user-static"], &[], &dir.join("build.log"))?;
        // The package has emulators for dozens of architectures.
        std::fs::rename(
            unpacked.join("root/usr/bin/qemu-aarch64-static"),
            dir.join("qemu-aarch64"),
        )?;
        Ok(std::fs::remove_dir_all(unpacked)?)
    })?;
    Ok(dir.join("qemu-aarch64"))
}

/// Unpacks the distribution's busybox for another architecture, with separate package lists: the machine's own lists
/// stay unchanged.
fn busybox(cache: &Cache, architecture: Architecture) -> Result<PathBuf> {
    let architecture = architecture.name();
    let key = Key::new(format!("busybox {} {architecture}", debian::release()?));
    let dir = cache.entry(&key, |dir| {
        let log = dir.join("build.log");
        let apt = dir.join("apt");
        let options = [
            format!("APT::Architecture={architecture}"),
            format!("APT::Architectures={architecture}"),
            format!("Dir::State={}", apt.join("state").display()),
            format!("Dir::Cache={}", apt.join("cache").display()),
            "Dir::State::status=/dev/null".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        std::fs::create_dir_all(apt.join("state/lists/partial"))?;
        std::fs::create_dir_all(apt.join("cache/archives/partial"))?;
        debian::unpack(dir, &["busybox-static"], &options, &log)
            .with_context(|| format!("apt's sources offer no packages for {architecture}"))?;
        Ok(std::fs::remove_dir_all(apt)?)
    })?;
    Ok(debian::program(&dir.join("root"), "busybox"))
}
