//! The exact versions of the compilers of dist/: other versions give other bits.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{execute, output};

const RELEASE: &str = "1.95.0";
pub(super) const COMMIT: &str = "59807616e1fa2540724bfbac14d7976d7e4a3860";
/// Cargo hashes all of `rustc -vV` into symbol names, including the host.
const HOST: &str = "x86_64-unknown-linux-gnu";

/// The C compiler, for ring and psm. One compiler with musl's headers for both targets, the same on every
/// distribution; Debian's and Ubuntu's own cross compilers are each of another version.
const ZIG: &str = "0.15.2";
/// The checksum of the Python package for x86-64 Linux.
const ZIG_SHA256: &str = "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130";

#[derive(Debug)]
pub(super) struct Toolchain {
    /// The value of `RUSTUP_TOOLCHAIN`, or `None` if the `rustc` on PATH is the right one without it.
    pub(super) rustup: Option<OsString>,
    pub(super) sysroot: PathBuf,
    pub(super) zig: PathBuf,
}

impl Toolchain {
    /// Returns one line for each tool.
    pub(super) fn recorded() -> String {
        format!("rustc {RELEASE} {COMMIT} {HOST}\nzig {ZIG}\n")
    }

    /// Returns the toolchain on this machine, or an error that names the missing part.
    pub(super) fn find(tools: &Path, targets: &[&str]) -> Result<Self> {
        let (rustup, sysroot) = rustc()?;
        for target in targets {
            ensure!(
                sysroot.join("lib/rustlib").join(target).join("lib").is_dir(),
                "rustc in {} has no standard library for {target}",
                sysroot.display()
            );
        }
        let zig = tools.join(format!("zig-{ZIG}/ziglang/zig"));
        ensure!(zig.is_file(), "zig {ZIG} does not exist at {}", zig.display());
        Ok(Self { rustup, sysroot, zig })
    }

    /// Downloads the parts that `find` does not find, with rustup and pip.
    pub(super) fn fetch(tools: &Path, targets: &[&str]) -> Result<Self> {
        if rustc().is_err() {
            execute(Command::new("rustup").args(["toolchain", "install", "--profile=minimal", RELEASE]))?;
        }
        let (rustup, sysroot) = rustc()?;
        if targets
            .iter()
            .any(|target| !sysroot.join("lib/rustlib").join(target).exists())
        {
            let mut add = Command::new("rustup");
            add.args(["target", "add"]).args(targets);
            if let Some(toolchain) = rustup {
                add.env("RUSTUP_TOOLCHAIN", toolchain);
            }
            execute(&mut add)?;
        }
        let dir = tools.join(format!("zig-{ZIG}"));
        if !dir.join("ziglang/zig").is_file() {
            let pinned = tools.join("requirements.txt");
            fs::create_dir_all(tools)?;
            fs::write(&pinned, format!("ziglang=={ZIG} --hash=sha256:{ZIG_SHA256}\n"))?;
            execute(
                Command::new("python3")
                    .args(["-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"])
                    .arg("--target")
                    .arg(&dir)
                    .arg("--requirement")
                    .arg(&pinned),
            )?;
        }
        Self::find(tools, targets)
    }
}

/// Returns the toolchain in use if it has the right version, or else rustup's toolchain of that version.
fn rustc() -> Result<(Option<OsString>, PathBuf)> {
    for rustup in [std::env::var_os("RUSTUP_TOOLCHAIN"), Some(RELEASE.into())] {
        let rustc = |argument: &[&str]| {
            let mut rustc = Command::new("rustc");
            rustc.args(argument);
            if let Some(toolchain) = &rustup {
                rustc.env("RUSTUP_TOOLCHAIN", toolchain);
            }
            output(&mut rustc)
        };
        let Ok(version) = rustc(&["-vV"]) else { continue };
        let has = |line: String| version.lines().any(|found| found == line);
        if has(format!("commit-hash: {COMMIT}")) && has(format!("host: {HOST}")) {
            let sysroot = rustc(&["--print", "sysroot"]).context("rustc prints no sysroot")?;
            return Ok((rustup, PathBuf::from(sysroot.trim())));
        }
    }
    bail!("rustc {RELEASE} ({COMMIT}) for {HOST} is not installed")
}
