//! Runs real workflows with act. The steps are processes of this machine, so no container engine is needed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{State, asset, command};

/// A Git repository that contains a workflow and the action, so that `uses: ./` runs the action of this source tree.
#[derive(Debug)]
pub struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    /// Creates a repository with the action of the `source` tree, `program` as its binary, and these files.
    pub fn new(source: &Path, program: &Path, files: &[(&str, &str)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let root = dir.path();
        let dist = root.join("dist");
        std::fs::create_dir(&dist)?;
        for action in ["action.yml", "matrix/action.yml", "runner/action.yml"] {
            let to = root.join(action);
            std::fs::create_dir_all(to.parent().context("the path of a file has a parent")?)?;
            std::fs::copy(source.join(action), to)?;
        }
        for entry in std::fs::read_dir(source.join("dist"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "mjs") {
                std::fs::copy(
                    &path,
                    dist.join(path.file_name().context("the path of a file has a name")?),
                )?;
            }
        }
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        std::fs::copy(program, dist.join(format!("remote-buildkit-linux-{arch}")))?;
        let new = Self { dir };
        new.git(&["init", "-q", "-b", "main"])?;
        new.git(&["remote", "add", "origin", "https://github.com/acme/shop"])?;
        new.commit(files)?;
        Ok(new)
    }

    /// Writes these files, commits them and returns the commit.
    pub fn commit(&self, files: &[(&str, &str)]) -> Result<String> {
        for (path, text) in files {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().context("the path of a file has a parent")?)?;
            std::fs::write(path, text)?;
        }
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-qm", "Shop"])?;
        self.head()
    }

    /// Copies the files of a directory, commits them and returns the commit.
    pub fn commit_copy(&self, from: &Path) -> Result<String> {
        let mut copy = Command::new("cp");
        command::output(copy.arg("-r").arg(from.join(".")).arg(self.path()))?;
        self.commit(&[])
    }

    /// Returns the directory of the repository.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns the commit that is checked out.
    pub fn head(&self) -> Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"]);
        command::output(git.current_dir(self.dir.path()).args(arguments))
    }
}

/// What starts a workflow, and how its jobs differ from the usual ones.
#[derive(Debug)]
pub struct Trigger<'a> {
    /// The name of the event, such as `push`.
    pub event: &'a str,
    /// The payload of the event, in JSON.
    pub payload: &'a str,
    /// More variables of the jobs.
    pub env: &'a [(&'a str, &'a str)],
}

impl Trigger<'_> {
    /// Returns a push without a payload.
    const PUSH: Self = Trigger {
        event: "push",
        payload: "{}",
        env: &[],
    };
}

/// A finished run of a workflow, on a runner with a new home directory.
#[derive(Debug)]
pub struct Job {
    dir: tempfile::TempDir,
    /// Everything that act printed, with masks applied: what a user sees.
    pub log: String,
    pub code: Option<i32>,
}

impl Job {
    /// Runs a workflow. `seen` is called with each line of its log.
    pub fn run(state: &State, checkout: &Checkout, workflow: &str, seen: impl FnMut(&str)) -> Result<Self> {
        Self::of_event(state, checkout, workflow, &Trigger::PUSH, seen)
    }

    /// Runs a workflow for a push event with this payload, in JSON.
    pub fn of_push(
        state: &State,
        checkout: &Checkout,
        workflow: &str,
        payload: &str,
        seen: impl FnMut(&str),
    ) -> Result<Self> {
        let push = Trigger {
            payload,
            ..Trigger::PUSH
        };
        Self::of_event(state, checkout, workflow, &push, seen)
    }

    /// Runs a workflow for an event. `org/remote-buildkit@v1` is the action in the checkout.
    pub fn of_event(
        state: &State,
        checkout: &Checkout,
        workflow: &str,
        trigger: &Trigger<'_>,
        mut seen: impl FnMut(&str),
    ) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let event = dir.path().join("event.json");
        std::fs::write(&event, trigger.payload)?;
        let home = dir.path().join("home");
        let plugins = home.join(".docker/cli-plugins");
        std::fs::create_dir_all(&plugins)?;
        std::os::unix::fs::symlink(state.bin.join("docker-buildx"), plugins.join("docker-buildx"))?;
        let (reader, writer) = std::io::pipe()?;
        let mut act = Command::new(state.bin.join("act"));
        act.current_dir(checkout.dir.path())
            .env_clear()
            .envs(state.client_env())
            .env("HOME", &home)
            .env("XDG_CACHE_HOME", dir.path().join("cache"))
            .env("ACT_DISABLE_VERSION_CHECK", "1")
            .env("NODE_MODULES", &state.node_modules)
            .args([
                trigger.event,
                "-P",
                "ubuntu-latest=-self-hosted",
                "--no-cache-server",
                "--use-gitignore=false",
                // Jobs share a home directory.
                "--concurrent-jobs=1",
            ])
            // What the examples log in to a registry with.
            .args([
                "--var=REGISTRY_USER=octocat",
                "--secret=REGISTRY_PASSWORD=hunter2-of-the-lab",
            ])
            .args(["-W", workflow, "--env", "DOCKER_BUILD_RECORD_UPLOAD=false"])
            .arg("--eventpath")
            .arg(&event)
            .arg(format!(
                "--local-repository=org/remote-buildkit@v1={}",
                checkout.dir.path().display()
            ))
            .args(
                [
                    ("build-push-action", "v7"),
                    ("bake-action", "v7"),
                    ("login-action", "v4"),
                ]
                .map(|(action, version)| {
                    let dir = asset(&format!("actions/{action}"));
                    format!("--local-repository=docker/{action}@{version}={}", dir.display())
                }),
            )
            .args(
                trigger
                    .env
                    .iter()
                    .map(|(name, value)| format!("--env={name}={value}")),
            )
            .arg("--env")
            .arg(format!("ACTIONS_ID_TOKEN_REQUEST_URL={}", state.oidc_url))
            .arg("--env")
            .arg(format!(
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN={}",
                state.oidc_request_token
            ))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = act.spawn().context("could not start act")?;
        // Closes our copy of the pipe's write end: otherwise reading the log would never end.
        drop(act);
        let mut log = String::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            seen(&line);
            log.push_str(&line);
            log.push('\n');
        }
        let code = child.wait()?.code();
        Ok(Self { dir, log, code })
    }

    pub fn ok(self) -> Result<Self> {
        ensure!(
            self.code == Some(0),
            "act's exit code is {:?}:\n{}",
            self.code,
            self.log
        );
        Ok(self)
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }
}
