//! A minimal machine for one test: its own file system and mounts, and the network of this machine. Dropping the value removes
//! it, and so does stopping the lab.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ring::digest::{SHA256, digest};

use crate::bare::{UID, USER};
use crate::{State, command};

#[derive(Debug)]
pub struct Machine {
    dir: tempfile::TempDir,
}

/// A file, directory or link of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub owner: (u32, u32),
    /// The checksum of a file, the target of a link.
    pub content: String,
}

/// Enters the machine with mounts that only its own processes see.
const ENTER: &str = r#"set -e
root=$1; shift
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@""#;

/// Everything in the file system of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Entry>);

impl Tree {
    /// Returns the paths at which two trees differ.
    pub fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        let differs = |path: &&PathBuf| self.0.get(*path) != other.0.get(*path);
        paths.into_iter().filter(differs).cloned().collect()
    }
}

/// The PATH of a login on Debian.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Machine {
    /// Creates a machine.
    pub fn new(state: &State) -> Result<Self> {
        let dirs = state.dir.join("machines");
        fs::create_dir_all(&dirs)?;
        // The machine's user needs access to its files, also by the path outside.
        let dir = tempfile::Builder::new().tempdir_in(dirs)?;
        let bare = state
            .bare
            .as_ref()
            .context("this lab has no minimal machine: start it with `cargo xtask lab up`")?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(bare.join("."));
        command::output(copy.arg(dir.path()))?;
        Ok(Self { dir })
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the path on this machine of a path of the minimal machine.
    pub fn host_path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Writes a file owned by root.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let to = self.host_path(path);
        fs::create_dir_all(to.parent().context("the path of a file has a parent")?)?;
        fs::write(&to, content).with_context(|| format!("could not write {}", to.display()))?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(mode))?)
    }

    /// Copies a program of this machine to a path of the minimal machine.
    pub fn install(&self, program: &Path, path: &str) -> Result<()> {
        self.write(path, fs::read(program)?, 0o755)
    }

    /// Adds host names for an address to /etc/hosts.
    pub fn add_hosts(&self, ip: &str, names: &[&str]) -> Result<()> {
        let mut hosts = fs::read_to_string(self.host_path("/etc/hosts"))?;
        hosts.push_str(&format!("{ip} {}\n", names.join(" ")));
        Ok(fs::write(self.host_path("/etc/hosts"), hosts)?)
    }

    /// Returns a command that runs a program of the minimal machine as root, with a clean environment.
    pub fn command(&self, program: &str) -> Command {
        self.enter(&["/usr/bin/env", "-C", "/root", program], "/root", "root")
    }

    /// Returns a command that runs a program as the user of the jobs.
    pub fn as_user(&self, program: &str) -> Command {
        let rights = [
            "/usr/bin/setpriv",
            "--reuid",
            UID,
            "--regid",
            UID,
            "--init-groups",
            "/usr/bin/env",
            "-C",
            "/home/runner",
            program,
        ];
        self.enter(&rights, "/home/runner", USER)
    }

    fn enter(&self, line: &[&str], home: &str, user: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER, "sh"])
            .arg(self.root())
            .args(line)
            .env_clear()
            .envs([("PATH", PATH), ("HOME", home), ("USER", user), ("LOGNAME", user)]);
        command
    }

    /// Makes the user the owner of a path and of everything below it.
    pub fn chown_to_user(&self, path: &str) -> Result<()> {
        let owner = format!("{UID}:{UID}");
        command::output(
            Command::new("chown")
                .arg("-R")
                .arg(owner)
                .arg(self.host_path(path)),
        )?;
        Ok(())
    }

    /// Reads the file system, without files that change by themselves.
    pub fn tree(&self) -> Result<Tree> {
        let mut found = BTreeMap::new();
        let mut dirs = vec![self.root().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                let name = path.strip_prefix(self.root())?.to_owned();
                if ["proc", "dev", "sys", "tmp"]
                    .iter()
                    .any(|passing| name == Path::new(passing))
                {
                    continue;
                }
                let metadata = path.symlink_metadata()?;
                let content = if metadata.is_dir() {
                    dirs.push(path);
                    String::new()
                } else if metadata.is_symlink() {
                    fs::read_link(&path)?.display().to_string()
                } else {
                    ensure!(metadata.is_file(), "{} is not a regular file", path.display());
                    let sum = digest(&SHA256, &fs::read(&path)?);
                    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
                };
                let entry = Entry {
                    mode: metadata.mode(),
                    owner: (metadata.uid(), metadata.gid()),
                    content,
                };
                found.insert(name, entry);
            }
        }
        Ok(Tree(found))
    }
}
