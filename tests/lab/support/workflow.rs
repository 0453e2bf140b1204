//! A repository with a workflow, run by act on this machine: no container engine, the steps are processes here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{LAB, output, program};

/// A checkout with the action in it, so that `uses: ./` is this source's.
#[derive(Debug)]
pub(crate) struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    /// The action, the files given, and a git repository around them.
    pub(crate) fn new(files: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::copy(source.join("action.yml"), root.join("action.yml"))?;
        std::fs::create_dir(root.join("dist"))?;
        for launcher in ["connect.mjs", "disconnect.mjs", "launch.mjs"] {
            std::fs::copy(
                source.join("dist").join(launcher),
                root.join("dist").join(launcher),
            )?;
        }
        let arch = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x64"
        };
        std::fs::copy(program(), root.join(format!("dist/remote-buildkit-linux-{arch}")))?;
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
            std::fs::write(path, text)?;
        }
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command
                .current_dir(root)
                .args(["-c", "user.name=t", "-c", "user.email=t@example.com"]);
            super::run(command.args(arguments))
        };
        git(&["init", "-q", "-b", "main"])?;
        git(&["add", "-A"])?;
        git(&["commit", "-qm", "Shop"])?;
        git(&["remote", "add", "origin", "https://github.com/acme/shop"])?;
        Ok(Self { folder })
    }
}

/// One run of a workflow, in a home that is new.
#[derive(Debug)]
pub(crate) struct Workflow {
    folder: tempfile::TempDir,
    /// All that act printed: the steps' own output with masks applied.
    pub(crate) log: String,
    pub(crate) code: Option<i32>,
}

impl Workflow {
    pub(crate) fn run(workspace: &Workspace, workflow: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let home = folder.path().join("home");
        let plugins = home.join(".docker/cli-plugins");
        std::fs::create_dir_all(&plugins)?;
        std::os::unix::fs::symlink(LAB.bin.join("docker-buildx"), plugins.join("docker-buildx"))?;
        let mut command = Command::new(LAB.bin.join("act"));
        command
            .current_dir(workspace.folder.path())
            .env_clear()
            .envs(LAB.client_env())
            .env("HOME", &home)
            .env("XDG_CACHE_HOME", folder.path().join("cache"))
            .env("ACT_DISABLE_VERSION_CHECK", "1")
            .env("NODE_MODULES", &LAB.node_modules)
            .args(["push", "-P", "ubuntu-latest=-self-hosted", "--no-cache-server"])
            .args(["--use-gitignore=false", "-W", workflow])
            .arg("--local-repository")
            .arg(format!(
                "docker/build-push-action@v7={}",
                stand_in("build-push-action")?.display()
            ));
        for name in ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
            let value = LAB.client_env().into_iter().find(|(n, _)| n == name);
            let (_, value) = value.with_context(|| format!("the lab has no {name}"))?;
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.args(["--env", "DOCKER_BUILD_RECORD_UPLOAD=false"]);
        let output = output(&mut command)?;
        Ok(Self {
            folder,
            code: output.status.code(),
            log: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        })
    }

    pub(crate) fn ok(self) -> Result<Self> {
        anyhow::ensure!(self.code == Some(0), "exit code {:?}:\n{}", self.code, self.log);
        Ok(self)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
}

/// docker/build-push-action cannot be had from a package registry; what stands in for it runs the library it is made
/// of, `@docker/actions-toolkit`.
fn stand_in(name: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/lab/actions")
        .join(name);
    path.canonicalize()
        .with_context(|| format!("no {}", path.display()))
}
