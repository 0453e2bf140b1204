//! Builds runc, with which nodes and BuildKit's image start containers. Linked statically: that image has no C library.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Cache, Key};
use crate::versions::RUNC;
use crate::{command, go};

const MODULE: &str = "github.com/opencontainers/runc";
const FLAGS: &str = "-s -w -linkmode external -extldflags -static -X main.version=";

/// Returns the directory of the program. `root` has the distribution's unpacked packages, including libseccomp.
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

/// Returns the directory in which pkg-config finds libseccomp: its path contains Debian's name of the architecture.
fn pkg_config(root: &Path) -> Result<PathBuf> {
    fs::read_dir(root.join("usr/lib"))?
        .flatten()
        .map(|entry| entry.path().join("pkgconfig"))
        .find(|dir| dir.join("libseccomp.pc").exists())
        .context("the package libseccomp-dev has no libseccomp.pc")
}
