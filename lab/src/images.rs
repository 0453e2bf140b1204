//! The images a node needs: a pod's sandbox, BuildKit, and a base image for builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::archive::{Image, Layer};
use crate::cache::{Cache, Key};
use crate::versions::BUILDKIT;
use crate::{command, host_programs};

pub(crate) const PAUSE: &str = "localhost/pause:1";
/// The registry's address is fixed, see [`crate::network`].
pub(crate) const BASE: &str = "10.200.0.254:5000/busybox:latest";

/// Archives in the cache.
#[derive(Debug, Clone)]
pub struct Images {
    pub pause: PathBuf,
    pub buildkit: PathBuf,
    pub base: PathBuf,
}

/// `root` is the folder of the distribution's unpacked packages, `registry_ca` a PEM file.
pub(crate) fn install(
    cache: &Cache,
    root: &Path,
    buildkit: &Path,
    runc: &Path,
    registry_ca: &Path,
) -> Result<Images> {
    let ca = std::fs::read_to_string(registry_ca)?;
    let key = Key::new("images")
        .with(include_str!("images.rs"))
        .with(include_str!("archive.rs"))
        .with(include_str!("host_programs.rs"))
        .with(root.as_os_str().as_encoded_bytes())
        .with(buildkit.as_os_str().as_encoded_bytes())
        .with(runc.as_os_str().as_encoded_bytes())
        .with(&ca);
    let dir = cache.entry(&key, |dir| {
        let busybox = busybox(root);
        pause(&dir.join("pause.tar"), &busybox)?;
        base(&dir.join("base.tar"), &busybox)?;
        buildkitd(&dir.join("buildkit.tar"), &busybox, runc, buildkit, &ca)
    })?;
    Ok(Images {
        pause: dir.join("pause.tar"),
        buildkit: dir.join("buildkit.tar"),
        base: dir.join("base.tar"),
    })
}

/// In the folder of the distribution's packages; a newer one has it under /usr.
pub(crate) fn busybox(root: &Path) -> PathBuf {
    let busybox = root.join("bin/busybox");
    if busybox.exists() {
        busybox
    } else {
        root.join("usr/bin/busybox")
    }
}

fn pause(archive: &Path, busybox: &Path) -> Result<()> {
    let image = Image {
        tags: &[PAUSE],
        entrypoint: &["/busybox", "sleep", "2147483647"],
        cmd: &[],
    };
    image.write(archive, |layer| layer.program("busybox", busybox))
}

fn base(archive: &Path, busybox: &Path) -> Result<()> {
    let image = Image {
        tags: &[BASE],
        entrypoint: &[],
        cmd: &["sh"],
    };
    image.write(archive, |layer| system(layer, busybox))
}

/// As moby/buildkit's own image as far as a client can see.
fn buildkitd(archive: &Path, busybox: &Path, runc: &Path, buildkit: &Path, ca: &str) -> Result<()> {
    let release = format!("docker.io/moby/buildkit:v{BUILDKIT}");
    let image = Image {
        tags: &[&release, "docker.io/moby/buildkit:buildx-stable-1"],
        entrypoint: &["buildkitd"],
        cmd: &[],
    };
    let authorities = authorities(ca)?;
    image.write(archive, |layer| {
        system(layer, busybox)?;
        for program in ["buildkitd", "buildctl"] {
            layer.program(&format!("usr/bin/{program}"), &buildkit.join(program))?;
        }
        host_programs::put_tools(layer, &[])?;
        layer.program("usr/bin/buildkit-runc", &runc.join("runc"))?;
        layer.text(AUTHORITIES, &authorities)
    })
}

pub(crate) const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The host's, and the registry's: where the host's network goes through a proxy of its own, builds trust it too.
pub(crate) fn authorities(registry: &str) -> Result<String> {
    let host = std::fs::read_to_string(Path::new("/").join(AUTHORITIES))
        .context("could not read the host's certificates; is the package ca-certificates installed?")?;
    Ok(format!("{host}\n{registry}"))
}

/// What every image but the sandbox has: a shell and the usual programs, a root user, /tmp.
fn system(layer: &mut Layer, busybox: &Path) -> Result<()> {
    programs(layer, busybox)?;
    layer.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
    layer.text("etc/group", "root:x:0:\n")
}

pub(crate) fn programs(layer: &mut Layer, busybox: &Path) -> Result<()> {
    layer.dirs(&[
        "bin",
        "dev",
        "etc",
        "etc/ssl",
        "etc/ssl/certs",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr",
        "usr/bin",
        "var",
        "var/lib",
    ])?;
    layer.program("bin/busybox", busybox)?;
    for applet in command::output(Command::new(busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            layer.link(&format!("bin/{applet}"), "busybox")?;
        }
    }
    Ok(())
}
