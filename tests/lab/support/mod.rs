//! What the tests stand on: the lab, a runner to be, a namespace of their own.

mod bare;
mod between;
mod cluster;
mod git;
mod hold;
mod listener;
mod remains;
mod runner;
pub(crate) mod scenario;
pub(crate) mod step;

pub(crate) use bare::Bare;
pub(crate) use between::{Forward, Rewrite};
pub(crate) use cluster::{Namespace, kubectl, kubectl_json};
pub(crate) use git::GitServer;
pub(crate) use hold::Hold;
pub(crate) use listener::{Silent, always_answers, kubeconfig};
pub(crate) use remains::Before;
pub(crate) use runner::Runner;
pub(crate) use step::{Outcome, Step, note};

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The lab that `cargo xtask test` brought up.
pub(crate) static LAB: LazyLock<lab::State> = LazyLock::new(|| {
    lab::State::load()
        .expect("these tests want the lab: run `cargo xtask test`, or `cargo xtask lab up` before")
});

/// The role that may do all that a job needs.
pub(crate) fn role(name: &str) -> String {
    format!("arn:aws:iam::{}:role/{name}", LAB.account)
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_remote-buildkit"))
}

/// A repository with the action under test in it.
pub(crate) fn checkout(files: &[(&str, &str)]) -> Result<lab::Checkout> {
    lab::Checkout::new(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")),
        &program(),
        files,
    )
}

/// Tells the emulator of AWS something, or asks it.
pub(crate) fn emulator(path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
    let mut curl = Command::new("curl");
    curl.args(["-sf", "--noproxy", "*", "-d", &body.to_string()]);
    let answer = run(curl.arg(format!("{}{path}", LAB.aws_endpoint)))?;
    Ok(serde_json::from_str(&answer)?)
}

/// How often the emulator was asked for something with this key of AWS.
pub(crate) fn asked(operation: &str, key: &str) -> Result<usize> {
    let mut curl = Command::new("curl");
    let log = run(curl
        .args(["-sf", "--noproxy", "*"])
        .arg(format!("{}/_stub/log", LAB.aws_endpoint)))?;
    let log: Vec<serde_json::Value> = serde_json::from_str(&log)?;
    let asked = log
        .iter()
        .filter(|entry| entry["op"] == operation && entry["key"] == key);
    Ok(asked.count())
}

/// Runs a command to its end; an error when it fails, with what it said.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let started = command.stdin(std::process::Stdio::null()).output();
    started.with_context(|| format!("starting {command:?}"))
}

/// Waits until something is so.
pub(crate) fn wait_for(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..300 {
        if so()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    anyhow::bail!("waited a minute for {what}")
}
