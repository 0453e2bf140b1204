//! A machine with nothing on it, for one test: its own files and mounts, and the network of this machine. Gone with the
//! value, or with the lab.

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
    folder: tempfile::TempDir,
}

/// Something in the tree of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub owner: (u32, u32),
    /// Of a file the checksum, of a link where it leads.
    pub content: String,
}

/// The mounts of a machine are those of its processes alone.
const ENTER: &str = r#"set -e
root=$1; shift
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" "$@""#;

/// All that was on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, Entry>);

impl Tree {
    /// The paths at which another one is not the same.
    pub fn differences(&self, other: &Self) -> Vec<PathBuf> {
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(other.0.keys()).collect();
        let differs = |path: &&PathBuf| self.0.get(*path) != other.0.get(*path);
        paths.into_iter().filter(differs).cloned().collect()
    }
}

/// As a login on Debian has it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Machine {
    /// A new one.
    pub fn new(state: &State) -> Result<Self> {
        let folders = state.dir.join("machines");
        fs::create_dir_all(&folders)?;
        // Its user has to get to its files, by the path that it has outside as well.
        let folder = tempfile::Builder::new().tempdir_in(folders)?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto"]).arg(state.bare.join("."));
        command::output(copy.arg(folder.path()))?;
        Ok(Self { folder })
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Where a path of the machine is on this one.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Puts a file there, root's.
    pub fn put(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let to = self.at(path);
        fs::create_dir_all(to.parent().context("a file in a folder")?)?;
        fs::write(&to, content).with_context(|| format!("could not write {}", to.display()))?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(mode))?)
    }

    /// A program of this machine there, by another path.
    pub fn install(&self, program: &Path, path: &str) -> Result<()> {
        self.put(path, fs::read(program)?, 0o755)
    }

    /// Has names lead to an address.
    pub fn name(&self, ip: &str, names: &[&str]) -> Result<()> {
        let mut hosts = fs::read_to_string(self.at("/etc/hosts"))?;
        hosts.push_str(&format!("{ip} {}\n", names.join(" ")));
        Ok(fs::write(self.at("/etc/hosts"), hosts)?)
    }

    /// A program on it, as root, with an environment of its own.
    pub fn command(&self, program: &str) -> Command {
        self.enter(&["/usr/bin/env", "-C", "/root", program], "/root", "root")
    }

    /// The same as the user of its jobs.
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

    /// Has its user own something with all that is in it.
    pub fn give_to_user(&self, path: &str) -> Result<()> {
        let owner = format!("{UID}:{UID}");
        command::output(Command::new("chown").arg("-R").arg(owner).arg(self.at(path)))?;
        Ok(())
    }

    /// All that is on it, except what comes and goes by itself.
    pub fn tree(&self) -> Result<Tree> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
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
                    folders.push(path);
                    String::new()
                } else if metadata.is_symlink() {
                    fs::read_link(&path)?.display().to_string()
                } else {
                    ensure!(metadata.is_file(), "{} is no file", path.display());
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
