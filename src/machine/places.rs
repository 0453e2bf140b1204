//! Where programs are put.

use std::path::{Path, PathBuf};

use super::User;
use crate::docker::PROGRAM;

/// For all users, or for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// On the PATH.
    pub programs: PathBuf,
    /// Where the docker CLI looks for plugins.
    pub plugins: PathBuf,
    /// What was made is written down here.
    pub record: PathBuf,
    /// The folder by which runs wait for each other.
    pub lock: PathBuf,
}

impl Places {
    /// For all users of the machine; root's.
    pub fn of_machine() -> Self {
        Self {
            programs: "/usr/local/bin".into(),
            plugins: "/usr/local/lib/docker/cli-plugins".into(),
            record: "/var/lib/remote-buildkit/record.json".into(),
            // Of root alone: a lock on what others can open they can hold.
            lock: "/root".into(),
        }
    }

    /// For one user, who writes there without being root.
    pub fn of_user(user: &User) -> Self {
        Self {
            programs: user.home.join(".local/bin"),
            plugins: user.docker_folder().join("cli-plugins"),
            record: folder_of(user).join("programs.json"),
            lock: user.home.clone(),
        }
    }

    /// Of whoever runs this.
    pub fn of_caller(user: &User) -> Self {
        if rustix::process::getuid().is_root() {
            Self::of_machine()
        } else {
            Self::of_user(user)
        }
    }

    /// This program.
    pub fn program(&self) -> PathBuf {
        self.programs.join("remote-buildkit")
    }

    /// The same as docker's credential helper.
    pub fn helper(&self) -> PathBuf {
        self.programs.join(PROGRAM)
    }
}

/// The folder of a user's permanent builder. Wherever jobs may point `XDG_CONFIG_HOME`, this stays where it is.
pub fn folder_of(user: &User) -> PathBuf {
    user.home.join(Path::new(".config/remote-buildkit"))
}
