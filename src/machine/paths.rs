//! The paths that programs are installed to.

use std::path::{Path, PathBuf};

use super::user::User;
use crate::docker::PROGRAM;

/// The paths of an installation, for all users or for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallPaths {
    /// The directory of programs, on the PATH.
    pub programs: PathBuf,
    /// The directory of docker CLI plugins.
    pub plugins: PathBuf,
    /// The file of the install manifest.
    pub manifest: PathBuf,
    /// The directory that is locked during a run.
    pub lock: PathBuf,
}

impl InstallPaths {
    /// Returns the paths for all users of the machine, which root installs to.
    pub fn of_machine() -> Self {
        Self {
            programs: "/usr/local/bin".into(),
            plugins: "/usr/local/lib/docker/cli-plugins".into(),
            manifest: "/var/lib/remote-buildkit/record.json".into(),
            // Only root can open this directory. Other users could hold the lock of a directory that they can open.
            lock: "/root".into(),
        }
    }

    /// Returns the paths for one user, who can write to them.
    pub fn of_user(user: &User) -> Self {
        Self {
            programs: user.home.join(".local/bin"),
            plugins: user.docker_dir().join("cli-plugins"),
            manifest: config_dir(user).join("programs.json"),
            lock: user.home.clone(),
        }
    }

    /// Returns the paths that the caller installs to.
    pub fn of_caller(user: &User) -> Self {
        if rustix::process::getuid().is_root() {
            Self::of_machine()
        } else {
            Self::of_user(user)
        }
    }

    /// Returns the path of this program.
    pub fn program(&self) -> PathBuf {
        self.programs.join("remote-buildkit")
    }

    /// Returns the path of docker's credential helper, a link to this program.
    pub fn helper(&self) -> PathBuf {
        self.programs.join(PROGRAM)
    }
}

/// Returns the directory of a user's permanent builder. `XDG_CONFIG_HOME` is ignored, because a job may set it.
pub fn config_dir(user: &User) -> PathBuf {
    user.home.join(Path::new(".config/remote-buildkit"))
}
