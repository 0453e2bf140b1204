//! The file system of a minimal machine: a plain distribution without docker, buildx or the AWS CLI. Created by debootstrap
//! from the package mirror of this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::{Cache, Key};
use crate::{command, debian};

/// The user whose jobs a test runs on the machine.
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
    // Nothing is installed from these package files and lists later.
    for dir in ["var/cache/apt", "var/lib/apt/lists"] {
        std::fs::remove_dir_all(root.join(dir))?;
        std::fs::create_dir(root.join(dir))?;
    }
    Ok(std::fs::remove_dir_all(tool)?)
}

/// Returns the suite of this machine and the mirror that apt uses for it.
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
    // Without package lists apt does not know the codename, but still the mirror.
    let any = || {
        targets
            .lines()
            .find_map(|line| line.split(' ').nth(2).map(str::to_owned))
    };
    let mirror = of_suite.or_else(any).context("apt has no sources")?;
    Ok((codename.to_owned(), mirror))
}
