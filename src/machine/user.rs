//! Looks up users of the machine, and runs programs with a user's rights.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::Context;
use rustix::process::getuid;
#[cfg(target_os = "linux")]
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// A user from `/etc/passwd`. Users of a directory service are not supported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: PathBuf,
}

/// Variables that contain paths and names of the caller. They are removed from the environment of another user.
const USER_VARIABLES: [&str; 10] = [
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
    /// Returns the user of this name, or the caller.
    pub fn resolve(name: Option<&str>) -> anyhow::Result<Self> {
        Self::resolve_for(getuid().as_raw(), name)
    }

    /// Does the same for a caller with this user id.
    fn resolve_for(current: u32, name: Option<&str>) -> anyhow::Result<Self> {
        let Some(name) = name else {
            if current == 0 {
                return Err(Problem::new(
                    ErrorCode::UserRequired,
                    "remote-buildkit runs as root, and `user` is not set.",
                    "Set `user` to the user that the runner runs as, even if that is root.",
                )
                .into());
            }
            return Self::current();
        };
        let user = all_users().into_iter().find(|user| user.name == name);
        let Some(user) = user else {
            return Err(Problem::new(
                ErrorCode::UserNotFound,
                format!("/etc/passwd has no user {name}."),
                "Create the user first (useradd --create-home NAME), or correct `user`.",
            )
            .into());
        };
        if current != 0 && current != user.uid {
            return Err(Problem::new(
                ErrorCode::OtherUserDenied,
                format!(
                    "Only root can configure another user, and `user: {name}` is not the user who runs remote-buildkit."
                ),
                "Run it as root, or as that user.",
            )
            .into());
        }
        Ok(user)
    }

    /// Returns the caller. In a container, the caller may have no entry in `/etc/passwd`.
    fn current() -> anyhow::Result<Self> {
        let (uid, gid) = (getuid().as_raw(), rustix::process::getgid().as_raw());
        if let Some(user) = all_users().into_iter().find(|user| user.uid == uid) {
            return Ok(user);
        }
        let home = env::path(env::HOME).context("finding the home directory: HOME is not set")?;
        Ok(Self {
            name: uid.to_string(),
            uid,
            gid,
            groups: Vec::new(),
            home,
        })
    }

    /// Returns whether this is the caller.
    pub fn is_current(&self) -> bool {
        getuid().as_raw() == self.uid
    }

    /// Returns the user's docker directory.
    pub fn docker_dir(&self) -> PathBuf {
        let own = self.is_current().then(crate::docker::dir).flatten();
        own.unwrap_or_else(|| self.home.join(".docker"))
    }

    /// Returns a command with this user's environment, for [`Self::status`], [`Self::output`] or [`Self::exec`].
    /// GITHUB_TOKEN, which registers the machine, is removed, because a job may have replaced the program.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_remove(env::GITHUB_TOKEN);
        if env::raw(env::HOME).is_none() {
            // HOME is not set in a systemd unit without User=.
            command.env(env::HOME, &self.home);
        }
        if !self.is_current() {
            for variable in USER_VARIABLES {
                command.env_remove(variable);
            }
            command
                .env(env::HOME, &self.home)
                .env("USER", &self.name)
                .env("LOGNAME", &self.name)
                // The user may not have access to the current directory.
                .current_dir("/");
        }
        command
    }

    /// Runs a program and returns its exit status.
    pub fn status(&self, command: &mut Command) -> anyhow::Result<ExitStatus> {
        self.with_rights(|| command.status().context("starting the program"))
    }

    /// Runs a program and returns what it prints.
    pub fn output(&self, command: &mut Command) -> anyhow::Result<std::process::Output> {
        self.with_rights(|| command.output().context("starting the program"))
    }

    /// Replaces this process with a program. Returns only on failure.
    pub fn exec(&self, command: &mut Command) -> anyhow::Error {
        let failed = self.with_rights(|| Err::<(), _>(anyhow::Error::from(command.exec())));
        match failed {
            Err(error) => error,
            Ok(()) => anyhow::anyhow!("the program was not started"),
        }
    }

    /// Runs `work` with this user's rights, in a separate thread: on Linux a thread has its own rights, and its child
    /// processes inherit them. The other threads keep the caller's rights.
    fn with_rights<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        if self.is_current() {
            return work();
        }
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.drop_rights()
                    .with_context(|| format!("becoming the user {}", self.name))?;
                work()
            });
            let result = thread.join();
            result.unwrap_or_else(|_| Err(anyhow::anyhow!("the thread panicked")))
        })
    }

    /// Gives the calling thread the rights of this user.
    #[cfg(target_os = "linux")]
    fn drop_rights(&self) -> rustix::io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        // The user comes last: without root's rights the groups cannot be changed.
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    }

    /// Fails: only on Linux has a thread rights of its own, and `runner` is only for Linux.
    #[cfg(not(target_os = "linux"))]
    fn drop_rights(&self) -> rustix::io::Result<()> {
        Err(rustix::io::Errno::NOSYS)
    }
}

/// Reads all users.
fn all_users() -> Vec<User> {
    let read = |path: &str| std::fs::read(path).unwrap_or_default();
    let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
    parse_users(
        &String::from_utf8_lossy(&users),
        &String::from_utf8_lossy(&groups),
    )
}

/// Parses the users in the text of `/etc/passwd` and `/etc/group`. Invalid lines are skipped.
fn parse_users(passwd: &str, group: &str) -> Vec<User> {
    let user = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else {
            return None;
        };
        let gid: u32 = gid.parse().ok()?;
        let mut groups = vec![gid];
        groups.extend(group.lines().filter_map(|line| group_of_member(line, name)));
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

/// Returns the id of the group in a line of `/etc/group`, if the user is a member.
fn group_of_member(line: &str, user: &str) -> Option<u32> {
    let fields: Vec<&str> = line.split(':').collect();
    let [_, _, gid, members] = fields[..] else {
        return None;
    };
    let is_member = members.split(',').any(|member| member == user);
    is_member.then(|| gid.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_their_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n# a comment\nbroken:x:a:1::/:/\n\
                      runner:x:1001:1002:,,,:/home/runner:/bin/bash\n";
        let group = "root:x:0:\ndocker:x:998:ubuntu,runner\nadm:x:4:runner2\nrunner:x:1002:\nbroken\n";
        let users = parse_users(passwd, group);
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

    #[test]
    fn errors_of_users() {
        let errors = [(0, None), (0, Some("nobody-here")), (4711, Some("root"))].map(|(current, name)| {
            let error = User::resolve_for(current, name).expect_err("no such user for the caller");
            error.to_string()
        });
        insta::assert_snapshot!(errors.join("\n\n"));
    }
}
