//! A Git server that builds of the lab can reach.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{LAB, run};

/// Serves one repository until it is dropped.
#[derive(Debug)]
pub(crate) struct GitServer {
    daemon: Child,
    _folder: tempfile::TempDir,
    /// Of the repository.
    pub(crate) url: String,
}

impl GitServer {
    /// With one commit of these files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let repository = folder.path().join("shop");
        std::fs::create_dir(&repository)?;
        for (name, text) in files {
            std::fs::write(repository.join(name), text)?;
        }
        git(&repository, &["init", "--quiet", "--initial-branch=main"])?;
        git(&repository, &["add", "."])?;
        git(&repository, &["commit", "--quiet", "--message=first"])?;
        // Where the registry is, the pods can go.
        let (host, _) = LAB.registry.split_once(':').context("no port")?;
        let port = TcpListener::bind((host, 0))?.local_addr()?.port();
        // Not `git daemon`: that would be its parent, and the one that is ended.
        let programs = run(Command::new("git").arg("--exec-path"))?;
        let daemon = Command::new(Path::new(programs.trim()).join("git-daemon"))
            .args(["--export-all", "--reuseaddr"])
            .arg(format!("--listen={host}"))
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", folder.path().display()))
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting git daemon")?;
        let server = Self {
            daemon,
            _folder: folder,
            url: format!("git://{host}:{port}/shop"),
        };
        let answers = || git(Path::new("/"), &["ls-remote", &server.url]).is_ok();
        ensure!(
            (0..50).any(|_| answers() || {
                std::thread::sleep(Duration::from_millis(100));
                false
            }),
            "git daemon does not answer"
        );
        Ok(server)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=test", "-c", "user.email=test@example.com"]);
    run(git.arg("-C").arg(folder).args(arguments))
}
