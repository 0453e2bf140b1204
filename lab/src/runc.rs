//! runc, which nodes and BuildKit's image start containers with. Linked statically: that image has no C library.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Cache, Key};
use crate::versions::RUNC;
use crate::{command, go};

const MODULE: &str = "github.com/opencontainers/runc";
const FLAGS: &str = "-s -w -linkmode external -extldflags -static -X main.version=";

/// The folder of the program. `root` is that of the distribution's unpacked packages, libseccomp's among them.
pub(crate) fn install(cache: &Cache, root: &Path) -> Result<PathBuf> {
    let key = Key::new(format!("runc {RUNC}"))
        .with(FLAGS)
        .with(root.as_os_str().as_encoded_bytes());
    let dir = cache.entry(&key, |dir| {
        let log = dir.join("build.log");
        fs::write(dir.join("go.mod"), go::EMPTY)?;
        go::require(dir, &[MODULE], RUNC, &log)?;
        let mut build = go::go(dir);
        build
            .env("CGO_ENABLED", "1")
            .env("PKG_CONFIG_PATH", pkg_config(root)?)
            .env("PKG_CONFIG_SYSROOT_DIR", root)
            .args(["build", "-tags", "seccomp netgo osusergo", "-ldflags"])
            .arg(format!("{FLAGS}{RUNC}"))
            .args(["-o", "bin/", MODULE]);
        command::run(&mut build, &log)
    })?;
    Ok(dir.join("bin"))
}

/// The folder in which pkg-config finds libseccomp: its path names the architecture as Debian does.
fn pkg_config(root: &Path) -> Result<PathBuf> {
    fs::read_dir(root.join("usr/lib"))?
        .flatten()
        .map(|entry| entry.path().join("pkgconfig"))
        .find(|folder| folder.join("libseccomp.pc").exists())
        .context("the package libseccomp-dev has no libseccomp.pc")
}
