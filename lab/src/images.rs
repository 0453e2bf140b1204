//! The images a node needs: a pod's sandbox, BuildKit, and a base image for builds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::archive::{Image, Layer};
use crate::cache::{Cache, Key};
use crate::command;
use crate::versions::BUILDKIT;

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
pub(crate) fn install(cache: &Cache, root: &Path, buildkit: &Path, registry_ca: &Path) -> Result<Images> {
    let ca = std::fs::read_to_string(registry_ca)?;
    let key = Key::new("images")
        .with(include_str!("images.rs"))
        .with(include_str!("archive.rs"))
        .with(root.as_os_str().as_encoded_bytes())
        .with(buildkit.as_os_str().as_encoded_bytes())
        .with(&ca);
    let dir = cache.entry(&key, |dir| {
        let busybox = root.join("bin/busybox");
        let busybox = if busybox.exists() {
            busybox
        } else {
            root.join("usr/bin/busybox")
        };
        pause(&dir.join("pause.tar"), &busybox)?;
        base(&dir.join("base.tar"), &busybox)?;
        buildkitd(&dir.join("buildkit.tar"), &busybox, root, buildkit, &ca)
    })?;
    Ok(Images {
        pause: dir.join("pause.tar"),
        buildkit: dir.join("buildkit.tar"),
        base: dir.join("base.tar"),
    })
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

/// As moby/buildkit's own image as far as a client can see; runc is the distribution's.
fn buildkitd(archive: &Path, busybox: &Path, root: &Path, buildkit: &Path, ca: &str) -> Result<()> {
    let release = format!("docker.io/moby/buildkit:v{BUILDKIT}");
    let image = Image {
        tags: &[&release, "docker.io/moby/buildkit:buildx-stable-1"],
        entrypoint: &["buildkitd"],
        cmd: &[],
    };
    let runc = root.join("usr/sbin/runc");
    let runc = if runc.exists() {
        runc
    } else {
        root.join("usr/bin/runc")
    };
    let host_cas = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt")
        .context("could not read the host's certificates; is the package ca-certificates installed?")?;
    image.write(archive, |layer| {
        system(layer, busybox)?;
        for program in ["buildkitd", "buildctl"] {
            layer.program(&format!("usr/bin/{program}"), &buildkit.join(program))?;
        }
        layer.program("usr/bin/buildkit-runc", &runc)?;
        // Alpine's busybox has it, Debian's has not.
        let flock = Path::new("/usr/bin/flock");
        layer.program("usr/bin/flock", flock)?;
        let libraries: BTreeSet<String> = [libraries(&runc)?, libraries(flock)?]
            .concat()
            .into_iter()
            .collect();
        for library in libraries {
            layer.program(library.trim_start_matches('/'), Path::new(&library))?;
        }
        // The host's: where its network goes through a proxy of its own, builds trust it too.
        layer.text("etc/ssl/certs/ca-certificates.crt", &format!("{host_cas}\n{ca}"))
    })
}

/// What every image but the sandbox has: a shell and the usual programs, a root user, /tmp.
fn system(layer: &mut Layer, busybox: &Path) -> Result<()> {
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
    layer.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
    layer.text("etc/group", "root:x:0:\n")?;
    layer.program("bin/busybox", busybox)?;
    for applet in command::output(Command::new(busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            layer.link(&format!("bin/{applet}"), "busybox")?;
        }
    }
    Ok(())
}

/// The shared libraries of a program, its loader included.
fn libraries(program: &Path) -> Result<Vec<String>> {
    Ok(paths(&command::output(Command::new("ldd").arg(program))?))
}

fn paths(ldd: &str) -> Vec<String> {
    ldd.split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_the_absolute_paths_ldd_prints() {
        let ldd = "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld-linux.so.2 (0x00007f)\n";
        assert_eq!(paths(ldd), ["/lib/libc.so.6", "/lib64/ld-linux.so.2"]);
    }
}
