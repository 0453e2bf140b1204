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
        for action in ["action.yml", "matrix/action.yml"] {
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
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
            std::fs::write(path, text)?;
        }
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["add", "-A"],
            &[
                "-c",
                "user.name=octocat",
                "-c",
                "user.email=octocat@example.com",
                "commit",
                "-qm",
                "Shop",
            ],
            &["remote", "add", "origin", "https://github.com/acme/shop"],
        ] {
            command::output(Command::new("git").current_dir(root).args(arguments))?;
        }
        Ok(Self { folder })
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
    pub fn run(
        state: &State,
        checkout: &Checkout,
        workflow: &str,
        mut seen: impl FnMut(&str),
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
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
            .args([
                "-W",
                workflow,
                "--env",
                "DOCKER_BUILD_RECORD_UPLOAD=false",
                "--local-repository",
            ])
            .arg(format!(
                "docker/build-push-action@v7={}",
                asset("actions/build-push-action").display()
            ))
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
