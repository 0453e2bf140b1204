//! Workflows for real, by act on this machine: the steps are processes here, no container engine is needed.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{State, asset, command};

/// A repository with a workflow and the action in it, so that `uses: ./` is this source's.
#[derive(Debug)]
pub struct Checkout {
    folder: tempfile::TempDir,
}

impl Checkout {
    /// The action of the `source` tree with this `program` as its binary, the files given, and git around them.
    pub fn new(source: &Path, program: &Path, files: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        let dist = root.join("dist");
        std::fs::create_dir(&dist)?;
        for action in ["action.yml", "matrix/action.yml", "runner/action.yml"] {
            let to = root.join(action);
            std::fs::create_dir_all(to.parent().context("a file in a folder")?)?;
            std::fs::copy(source.join(action), to)?;
        }
        for entry in std::fs::read_dir(source.join("dist"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "mjs") {
                std::fs::copy(&path, dist.join(path.file_name().context("a name")?))?;
            }
        }
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        std::fs::copy(program, dist.join(format!("remote-buildkit-linux-{arch}")))?;
        let new = Self { folder };
        new.git(&["init", "-q", "-b", "main"])?;
        new.git(&["remote", "add", "origin", "https://github.com/acme/shop"])?;
        new.commit(files)?;
        Ok(new)
    }

    /// Another commit, with these files written; its name.
    pub fn commit(&self, files: &[(&str, &str)]) -> Result<String> {
        for (path, text) in files {
            let path = self.folder.path().join(path);
            std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
            std::fs::write(path, text)?;
        }
        self.git(&["add", "-A"])?;
        self.git(&["commit", "-qm", "Shop"])?;
        self.head()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=octocat", "-c", "user.email=octocat@example.com"]);
        command::output(git.current_dir(self.folder.path()).args(arguments))
    }
}

/// One run of a workflow, on a runner whose home is new.
#[derive(Debug)]
pub struct Job {
    folder: tempfile::TempDir,
    /// All that act printed: what a user sees, masks applied.
    pub log: String,
    pub code: Option<i32>,
}

impl Job {
    /// Runs it; `seen` gets each line as it comes.
    pub fn run(state: &State, checkout: &Checkout, workflow: &str, seen: impl FnMut(&str)) -> Result<Self> {
        Self::of_push(state, checkout, workflow, "{}", seen)
    }

    /// The same for a push of which GitHub says this, in JSON.
    pub fn of_push(
        state: &State,
        checkout: &Checkout,
        workflow: &str,
        payload: &str,
        mut seen: impl FnMut(&str),
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let event = folder.path().join("event.json");
        std::fs::write(&event, payload)?;
        let home = folder.path().join("home");
        let plugins = home.join(".docker/cli-plugins");
        std::fs::create_dir_all(&plugins)?;
        std::os::unix::fs::symlink(state.bin.join("docker-buildx"), plugins.join("docker-buildx"))?;
        let (reader, writer) = std::io::pipe()?;
        let mut act = Command::new(state.bin.join("act"));
        act.current_dir(checkout.folder.path())
            .env_clear()
            .envs(state.client_env())
            .env("HOME", &home)
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .env("ACT_DISABLE_VERSION_CHECK", "1")
            .env("NODE_MODULES", &state.node_modules)
            .args([
                "push",
                "-P",
                "ubuntu-latest=-self-hosted",
                "--no-cache-server",
                "--use-gitignore=false",
            ])
            .args(["-W", workflow, "--env", "DOCKER_BUILD_RECORD_UPLOAD=false"])
            .arg("--eventpath")
            .arg(&event)
            .args(["build-push-action", "bake-action"].map(|action| {
                let folder = asset(&format!("actions/{action}"));
                format!("--local-repository=docker/{action}@v7={}", folder.display())
            }))
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
        // With the command goes our copy of the pipe's end: the log ends when act's does.
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
        Ok(Self { folder, log, code })
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
        self.folder.path().join("home")
    }
}
