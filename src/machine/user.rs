//! A user of the machine, and running programs as that user.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::Context;
use rustix::process::getuid;
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// As `/etc/passwd` has it. Users of a directory service are not there, and a runner's user is none of those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: PathBuf,
}

/// What says where a user's own files are; of another user's it says nothing.
const OF_A_USER: [&str; 10] = [
    env::DOCKER_CONFIG,
    env::BUILDX_CONFIG,
    env::XDG_RUNTIME_DIR,
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "SUDO_USER",
    "SUDO_UID",
    "SUDO_GID",
    "SUDO_COMMAND",
    "MAIL",
];

impl User {
    /// The one of a name; whoever runs this, without.
    pub fn wanted(name: Option<&str>) -> anyhow::Result<Self> {
        let current = getuid().as_raw();
        let Some(name) = name else {
            if current == 0 {
                return Err(Problem::new(
                    ErrorCode::UserRequired,
                    "This runs as root, and `user` does not say whose jobs are to build remotely.",
                    "Set --user to the user that the runner runs as, root if it is that.",
                )
                .into());
            }
            return Self::current();
        };
        let user = read().into_iter().find(|user| user.name == name);
        let Some(user) = user else {
            return Err(Problem::new(
                ErrorCode::UserNotFound,
                format!("Looked for the user {name} in /etc/passwd, and there is none."),
                "Make it first (useradd --create-home NAME), or correct --user.",
            )
            .into());
        };
        if current != 0 && current != user.uid {
            return Err(Problem::new(
                ErrorCode::OtherUserDenied,
                format!("`user` is {name}, and this runs as another user, which is not root."),
                "Run it as root, or as that user.",
            )
            .into());
        }
        Ok(user)
    }

    /// Whoever runs this. In a container that may be nobody with a name.
    fn current() -> anyhow::Result<Self> {
        let (uid, gid) = (getuid().as_raw(), rustix::process::getgid().as_raw());
        if let Some(user) = read().into_iter().find(|user| user.uid == uid) {
            return Ok(user);
        }
        let home = env::path(env::HOME).context("looking for the home of this user: HOME is not set")?;
        Ok(Self {
            name: uid.to_string(),
            uid,
            gid,
            groups: Vec::new(),
            home,
        })
    }

    /// Whether that is whoever runs this.
    pub fn is_current(&self) -> bool {
        getuid().as_raw() == self.uid
    }

    /// docker's folder of this user.
    pub fn docker_folder(&self) -> PathBuf {
        let own = self.is_current().then(crate::docker::folder).flatten();
        own.unwrap_or_else(|| self.home.join(".docker"))
    }

    /// A program to be run as this user, by [`Self::status`] or [`Self::become_it`]. Without the token by which the machine
    /// is registered: some of these programs are ones that a job may have put there.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_remove(env::GITHUB_TOKEN);
        if env::raw(env::HOME).is_none() {
            // As for a unit of systemd without User=.
            command.env(env::HOME, &self.home);
        }
        if !self.is_current() {
            for variable in OF_A_USER {
                command.env_remove(variable);
            }
            command
                .env(env::HOME, &self.home)
                .env("USER", &self.name)
                .env("LOGNAME", &self.name)
                // The one that we are in may be closed to this user.
                .current_dir("/");
        }
        command
    }

    /// Runs a program to its end.
    pub fn status(&self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        self.with_its_rights(|| command.status().context("starting it"))
    }

    /// What a program prints.
    pub fn output(&self, command: &mut Command) -> anyhow::Result<std::process::Output> {
        self.with_its_rights(|| command.output().context("starting it"))
    }

    /// Puts a program in the place of this one. Returns only if that fails.
    pub fn become_it(&self, command: &mut Command) -> anyhow::Error {
        let failed = self.with_its_rights(|| Err::<(), _>(anyhow::Error::from(command.exec())));
        match failed {
            Err(error) => error,
            Ok(()) => anyhow::anyhow!("it was not started"),
        }
    }

    /// In a thread of its own: rights are a thread's, and what it starts inherits them. The rest of the process keeps its
    /// own.
    fn with_its_rights<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        if self.is_current() {
            return work();
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.take_rights()
                    .with_context(|| format!("becoming the user {}", self.name))?;
                work()
            });
            let done = thread.join();
            done.unwrap_or_else(|_| Err(anyhow::anyhow!("the thread for it ended by itself")))
        })
    }

    fn take_rights(&self) -> rustix::io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        // In this order: without the rights of root the others cannot be changed any more.
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    }
}

fn read() -> Vec<User> {
    let text = |path: &str| std::fs::read(path).unwrap_or_default();
    let (users, groups) = (text("/etc/passwd"), text("/etc/group"));
    users_of(
        &String::from_utf8_lossy(&users),
        &String::from_utf8_lossy(&groups),
    )
}

fn users_of(passwd: &str, group: &str) -> Vec<User> {
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else {
            return None;
        };
        let gid: u32 = gid.parse().ok()?;
        let mut groups = vec![gid];
        groups.extend(group.lines().filter_map(|line| group_with(line, name)));
        groups.sort_unstable();
        groups.dedup();
        Some(User {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid,
            groups,
            home: PathBuf::from(home),
        })
    };
    passwd.lines().filter_map(user).collect()
}

/// The number of a group, if the user is in it.
fn group_with(line: &str, user: &str) -> Option<u32> {
    let fields: Vec<&str> = line.split(':').collect();
    let [_, _, gid, members] = fields[..] else {
        return None;
    };
    let member = members.split(',').any(|member| member == user);
    member.then(|| gid.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_their_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n# a comment\nbroken:x:a:1::/:/\n\
                      runner:x:1001:1002:,,,:/home/runner:/bin/bash\n";
        let group = "root:x:0:\ndocker:x:998:ubuntu,runner\nadm:x:4:runner2\nrunner:x:1002:\nbroken\n";
        let users = users_of(passwd, group);
        assert_eq!(users.len(), 2);
        assert_eq!(
            users[1],
            User {
                name: "runner".into(),
                uid: 1001,
                gid: 1002,
                groups: vec![998, 1002],
                home: "/home/runner".into(),
            }
        );
        assert_eq!(users[0].groups, [0]);
    }
}
