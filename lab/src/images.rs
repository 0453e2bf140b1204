//! Builds the container images of a node: the pod sandbox, BuildKit, and a base image for builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::architecture::Architecture;
use crate::archive::{self, Archive, Image, Layer};
use crate::cache::{Cache, Key};
use crate::versions::BUILDKIT;
use crate::{command, debian, host_programs, rootless};

pub(crate) const PAUSE: &str = "localhost/pause:1";
/// The registry's address is fixed, see [`crate::network`].
pub(crate) const BASE: &str = "10.200.0.254:5000/busybox:latest";
/// The reference under which [`Images::index`] is imported; it is then pushed as [`BASE`].
pub(crate) const INDEX: &str = "localhost/busybox:index";

/// The programs in the images of one architecture.
#[derive(Debug)]
pub(crate) struct Programs<'a> {
    pub architecture: Architecture,
    pub busybox: &'a Path,
    /// The directory of buildkitd and buildctl.
    pub buildkit: &'a Path,
    pub native: Native<'a>,
}

/// Programs of this machine's architecture, also in images for another one. They clone into new namespaces, which QEMU's user
/// mode does not support; the kernel runs them natively, and the programs that they start through the emulator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Native<'a> {
    /// The unpacked packages of the distribution.
    pub root: &'a Path,
    /// The directory of each program.
    pub runc: &'a Path,
    /// `None` in a lab without rootless BuildKit.
    pub rootlesskit: Option<&'a Path>,
}

/// The image archives in the cache.
#[derive(Debug, Clone)]
pub struct Images {
    /// The archives that are imported into a node of each architecture.
    of_nodes: Vec<(Architecture, Vec<PathBuf>)>,
    /// The base image for all architectures.
    pub(crate) index: PathBuf,
}

impl Images {
    /// Returns the archives that are imported into a node.
    pub(crate) fn of(&self, architecture: Architecture) -> Result<&[PathBuf]> {
        let mut nodes = self.of_nodes.iter();
        let (_, archives) = nodes
            .find(|(of, _)| *of == architecture)
            .with_context(|| format!("this machine has no images for an {} node", architecture.name()))?;
        Ok(archives)
    }
}

/// Builds the images. `registry_ca` is a PEM file.
pub(crate) fn install(cache: &Cache, programs: &[Programs<'_>], registry_ca: &Path) -> Result<Images> {
    let ca = std::fs::read_to_string(registry_ca)?;
    let mut of_nodes = Vec::new();
    let mut all = Key::new("image base");
    for programs in programs {
        let key = programs.key().with(&ca);
        all = all.with(key.dir_name());
        let dir = cache.entry(&key, |dir| {
            programs.pause(&dir.join("pause.tar"))?;
            programs.base(&dir.join("base.tar"))?;
            programs.buildkitd(&dir.join("buildkit.tar"), &ca)
        })?;
        let mut archives: Vec<PathBuf> = ["pause.tar", "base.tar", "buildkit.tar"]
            .map(|file| dir.join(file))
            .into();
        if let Some(rootlesskit) = programs.native.rootlesskit {
            archives.push(rootless::install(cache, &key, programs, rootlesskit, &ca)?);
        }
        of_nodes.push((programs.architecture, archives));
    }
    let dir = cache.entry(&all, |dir| index(&dir.join("index.tar"), programs))?;
    Ok(Images {
        of_nodes,
        index: dir.join("index.tar"),
    })
}

/// Writes the base image as an index of all platforms.
fn index(archive: &Path, programs: &[Programs<'_>]) -> Result<()> {
    let mut archive = Archive::create(archive)?;
    let mut images = Vec::new();
    for programs in programs {
        let settings = json!({"Env": [archive::PATH]});
        let image = archive.add(&programs.base_image(), settings, |layer| programs.system(layer))?;
        images.push(image);
    }
    let index = archive.add_index(&images)?;
    archive.finish(&index, &[INDEX])
}

impl Programs<'_> {
    fn key(&self) -> Key {
        let paths = [self.busybox, self.buildkit, self.native.root, self.native.runc];
        let key = Key::new(format!("images {}", self.architecture.name()))
            .with(include_str!("images.rs"))
            .with(include_str!("host_programs.rs"))
            .with(include_str!("archive.rs"));
        paths
            .iter()
            .fold(key, |key, path| key.with(path.as_os_str().as_encoded_bytes()))
    }

    fn pause(&self, archive: &Path) -> Result<()> {
        let image = Image {
            tags: &[PAUSE],
            architecture: self.architecture,
            entrypoint: &["/busybox", "sleep", "2147483647"],
            cmd: &[],
        };
        image.write(archive, |layer| layer.program("busybox", self.busybox))
    }

    fn base(&self, archive: &Path) -> Result<()> {
        self.base_image().write(archive, |layer| self.system(layer))
    }

    fn base_image(&self) -> Image<'static> {
        Image {
            tags: &[BASE],
            architecture: self.architecture,
            entrypoint: &[],
            cmd: &["sh"],
        }
    }

    /// Writes the BuildKit image; to a client it looks like moby/buildkit.
    fn buildkitd(&self, archive: &Path, ca: &str) -> Result<()> {
        let release = format!("docker.io/moby/buildkit:v{BUILDKIT}");
        let image = Image {
            tags: &[&release, "docker.io/moby/buildkit:buildx-stable-1"],
            architecture: self.architecture,
            entrypoint: &["buildkitd"],
            cmd: &[],
        };
        let authorities = authorities(ca)?;
        image.write(archive, |layer| {
            self.system(layer)?;
            self.daemon(layer)?;
            host_programs::put_tools(layer, &[])?;
            layer.text(AUTHORITIES, &authorities)
        })
    }

    /// Adds BuildKit.
    pub(crate) fn daemon(&self, layer: &mut Layer) -> Result<()> {
        for program in ["buildkitd", "buildctl"] {
            layer.program(&format!("usr/bin/{program}"), &self.buildkit.join(program))?;
        }
        layer.program("usr/bin/buildkit-runc", &self.native.runc.join("runc"))
    }

    /// Adds the parts of every image except the sandbox: a shell and the usual programs, a root user, /tmp.
    fn system(&self, layer: &mut Layer) -> Result<()> {
        self.shell(layer)?;
        root_user(layer)
    }

    pub(crate) fn shell(&self, layer: &mut Layer) -> Result<()> {
        // The same version for this machine has the same applets.
        shell(layer, self.busybox, &debian::program(self.native.root, "busybox"))
    }
}

/// Adds the usual directories and a busybox. `native` is a busybox of the same version that this machine can run.
pub(crate) fn shell(layer: &mut Layer, busybox: &Path, native: &Path) -> Result<()> {
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
    for applet in command::output(Command::new(native).arg("--list"))?.lines() {
        if applet != "busybox" {
            layer.link(&format!("bin/{applet}"), "busybox")?;
        }
    }
    Ok(())
}

pub(crate) fn root_user(layer: &mut Layer) -> Result<()> {
    layer.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
    layer.text("etc/group", "root:x:0:\n")
}

pub(crate) const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// Returns the certificates of the host and of the registry: builds must also trust the CA of a proxy that the host uses.
pub(crate) fn authorities(registry: &str) -> Result<String> {
    let host = std::fs::read_to_string(Path::new("/").join(AUTHORITIES))
        .context("could not read the host's certificates; is the package ca-certificates installed?")?;
    Ok(format!("{host}\n{registry}"))
}
