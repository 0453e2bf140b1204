//! The files of a machine with nothing on it but the distribution: no docker, no buildx, no AWS CLI. debootstrap makes
//! them, from where this machine's own packages come from.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{Cache, Key};
use crate::{command, debian};

/// Whose jobs a test of the machine runs.
pub(crate) const USER: &str = "runner";
pub(crate) const UID: &str = "1001";

pub(crate) fn install(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new(format!("machine {}", debian::release()?)).with(include_str!("bare.rs"));
    let dir = cache.entry(&key, make)?;
    Ok(dir.join("root"))
}

fn make(dir: &Path) -> Result<()> {
    let log = dir.join("build.log");
    let (tool, root) = (dir.join("tool"), dir.join("root"));
    debian::unpack(&tool, &["debootstrap"], &[], &log)?;
    let (suite, mirror) = archive()?;
    let mut debootstrap = Command::new("sh");
    debootstrap
        .arg(tool.join("root/usr/sbin/debootstrap"))
        .env("DEBOOTSTRAP_DIR", tool.join("root/usr/share/debootstrap"))
        .args(["--variant=minbase", "--include=ca-certificates"])
        .arg(&suite)
        .arg(&root)
        .arg(&mirror);
    command::run(&mut debootstrap, &log)?;
    let mut user = Command::new("chroot");
    user.arg(&root).args([
        "useradd",
        "--create-home",
        "--shell",
        "/bin/bash",
        "--uid",
        UID,
        USER,
    ]);
    command::run(&mut user, &log)?;
    std::fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n")?;
    // Packages, and lists of them, that nobody installs from.
    for folder in ["var/cache/apt", "var/lib/apt/lists"] {
        std::fs::remove_dir_all(root.join(folder))?;
        std::fs::create_dir(root.join(folder))?;
    }
    Ok(std::fs::remove_dir_all(tool)?)
}

/// The suite of this machine, and where apt has it from.
fn archive() -> Result<(String, String)> {
    let release = std::fs::read_to_string("/etc/os-release").context("could not read /etc/os-release")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let codename = codename.context("/etc/os-release has no VERSION_CODENAME")?;
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(CODENAME) $(RELEASE) $(REPO_URI)",
        "Created-By: Packages",
    ]);
    let targets = command::output(&mut targets)?;
    let of_suite = targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (of, _, uri) = (words.next()?, words.next()?, words.next()?);
        (of == codename).then(|| uri.to_owned())
    });
    // Without lists apt knows no codename, but still whom it would ask.
    let any = || {
        targets
            .lines()
            .find_map(|line| line.split(' ').nth(2).map(str::to_owned))
    };
    let mirror = of_suite.or_else(any).context("apt has no sources")?;
    Ok((codename.to_owned(), mirror))
}
