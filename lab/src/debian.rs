//! Packages of the distribution. They are unpacked into the cache instead of being installed: installing docker-registry
//! would start a service.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Key};
use crate::command;
use crate::versions::DEBIAN;

/// The programs that the lab calls on the host, each with its package.
const TOOLS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    ("dpkg-deb", "dpkg"),
    ("ldd", "libc-bin"),
    ("mount", "mount"),
    ("mkfs.ext4", "e2fsprogs"),
    ("pkg-config", "pkg-config"),
    ("unshare", "util-linux"),
    // For debootstrap.
    ("wget", "wget"),
];

/// Returns the root directory of the unpacked packages.
pub(crate) fn install(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new(format!("packages {}", release()?)).with(DEBIAN.join(" "));
    let dir = cache.entry(&key, |dir| unpack(dir, DEBIAN, &[], &dir.join("build.log")))?;
    Ok(dir.join("root"))
}

/// Returns the library that changes the time that a program sees when it is preloaded; the version for several threads.
pub(crate) fn faketime(cache: &Cache) -> Result<PathBuf> {
    let key = Key::new(format!("libfaketime {}", release()?));
    let dir = cache.entry(&key, |dir| {
        unpack(dir, &["libfaketime"], &[], &dir.join("build.log"))?;
        // In a directory of the machine's architecture.
        let of_architecture = std::fs::read_dir(dir.join("root/usr/lib"))?;
        let libraries = of_architecture
            .filter_map(Result::ok)
            .map(|dir| dir.path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries.into_iter().find(|library| library.exists());
        std::fs::rename(
            library.context("the package libfaketime holds no library")?,
            dir.join("libfaketimeMT.so.1"),
        )?;
        Ok(std::fs::remove_dir_all(dir.join("root"))?)
    })?;
    Ok(dir.join("libfaketimeMT.so.1"))
}

/// Unpacks packages into `root` in `dir`, with these options of apt.
pub(crate) fn unpack(dir: &Path, packages: &[&str], options: &[String], log: &Path) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    if download(dir, packages, options, log).is_err() {
        // The package lists are missing or name versions that the archive no longer has.
        command::run(apt(options).arg("update"), log)?;
        download(dir, packages, options, log)?;
    }
    for file in std::fs::read_dir(dir)? {
        let file = file?.path();
        if file.extension().is_some_and(|e| e == "deb") {
            command::run(
                Command::new("dpkg-deb")
                    .arg("--extract")
                    .arg(&file)
                    .arg(dir.join("root")),
                log,
            )?;
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}

fn download(dir: &Path, packages: &[&str], options: &[String], log: &Path) -> Result<()> {
    command::run(apt(options).arg("download").args(packages).current_dir(dir), log)
}

fn apt(options: &[String]) -> Command {
    let mut apt = Command::new("apt-get");
    // apt's download user cannot write to the cache, and apt would print a long warning.
    apt.args(["-o", "APT::Sandbox::User=root"]);
    for option in options {
        apt.args(["-o", option]);
    }
    apt
}

/// Returns the path of a program in unpacked packages: not every release has merged /usr.
pub(crate) fn program(root: &Path, name: &str) -> PathBuf {
    let dirs = ["bin", "sbin", "usr/bin", "usr/sbin"].map(|dir| root.join(dir).join(name));
    let found = dirs.iter().find(|file| file.exists());
    found.unwrap_or(&dirs[2]).clone()
}

/// Installs the missing programs of [`TOOLS`], and the packages that `venv` needs.
pub(crate) fn install_tools(cache: &Cache) -> Result<()> {
    let mut missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if command::output(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        missing.push("python3-venv");
    }
    if missing.is_empty() {
        return Ok(());
    }
    crate::progress::step(&format!("install {}", missing.join(", ")), || {
        let log = cache.root().join("apt.log");
        command::run(Command::new("apt-get").arg("update"), &log)?;
        command::run(
            Command::new("apt-get")
                .args(["install", "-y", "--no-install-recommends"])
                .args(&missing)
                .env("DEBIAN_FRONTEND", "noninteractive"),
            &log,
        )
    })
}

/// Fails if go, npm or python3 is missing, before anything is built.
pub(crate) fn require_clients() -> Result<()> {
    let missing: Vec<&str> = ["apt-get", "go", "npm", "python3"]
        .into_iter()
        .filter(|program| find(program).is_none())
        .collect();
    if !missing.is_empty() {
        bail!(
            "the lab is built with apt-get, go, npm and python3; not on PATH: {}",
            missing.join(", ")
        );
    }
    Ok(())
}

/// Returns the path of a program on the PATH or in the sbin directories.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Returns the release, such as `debian-12`, for keys of the cache.
pub(crate) fn release() -> Result<String> {
    let release = std::fs::read_to_string("/etc/os-release").context("could not read /etc/os-release")?;
    release_of(&release).context("/etc/os-release has no ID and VERSION_ID")
}

/// Parses the release from os-release.
fn release_of(os_release: &str) -> Option<String> {
    let value = |name| {
        let line = os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"'))
    };
    Some(format!("{}-{}", value("ID")?, value("VERSION_ID")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_os_release() {
        let debian = "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(release_of(debian).as_deref(), Some("debian-12"));
        let ubuntu = "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\n";
        assert_eq!(release_of(ubuntu).as_deref(), Some("ubuntu-24.04"));
        assert_eq!(release_of("ID=arch\n"), None);
    }
}
