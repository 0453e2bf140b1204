//! A Git server that builds on the lab can reach.

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
    _dir: tempfile::TempDir,
    /// The URL of the repository.
    pub(crate) url: String,
}

impl GitServer {
    /// Serves a repository with one commit of these files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let repository = dir.path().join("shop");
        std::fs::create_dir(&repository)?;
        for (name, text) in files {
            std::fs::write(repository.join(name), text)?;
        }
        git(&repository, &["init", "--quiet", "--initial-branch=main"])?;
        git(&repository, &["add", "."])?;
        git(&repository, &["commit", "--quiet", "--message=first"])?;
        // Pods can reach the address of the registry.
        let (host, _) = LAB.registry.split_once(':').context("no port")?;
        let port = TcpListener::bind((host, 0))?.local_addr()?.port();
        // Not `git daemon`: it starts git-daemon as a child, which would survive the kill.
        let programs = run(Command::new("git").arg("--exec-path"))?;
        let daemon = Command::new(Path::new(programs.trim()).join("git-daemon"))
            .args(["--export-all", "--reuseaddr"])
            .arg(format!("--listen={host}"))
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", dir.path().display()))
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting git daemon")?;
        let server = Self {
            daemon,
            _dir: dir,
            url: format!("git://{host}:{port}/shop"),
        };
        let answers = || git(Path::new("/"), &["ls-remote", &server.url]).is_ok();
        ensure!(
            (0..50).any(|_| answers() || {
                std::thread::sleep(Duration::from_millis(100));
                false
            }),
            "git daemon does not respond"
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

fn git(dir: &Path, arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=test", "-c", "user.email=test@example.com"]);
    run(git.arg("-C").arg(dir).args(arguments))
}
