//! The test support: the lab, a runner, a namespace for each test.

mod bare_machine;
mod cluster;
mod forwarder;
mod git;
mod held_request;
mod kubeconfig;
mod runner;
pub(crate) mod scenario;
mod session;
mod snapshot;
pub(crate) mod step;

pub(crate) use bare_machine::{BareMachine, buildx_download};
pub(crate) use cluster::{Namespace, kubectl, kubectl_json};
pub(crate) use forwarder::{Forward, Rewrite};
pub(crate) use git::GitServer;
pub(crate) use held_request::HeldRequest;
pub(crate) use kubeconfig::kubeconfig;
pub(crate) use runner::Runner;
pub(crate) use session::SessionFile;
pub(crate) use snapshot::RunnerSnapshot;
pub(crate) use step::{Outcome, Step, record_seconds};

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The lab that `cargo xtask test` started.
pub(crate) static LAB: LazyLock<lab::State> = LazyLock::new(|| {
    lab::State::load()
        .expect("these tests need the lab: run `cargo xtask test`, or start it with `cargo xtask lab up`")
});

/// Returns the ARN of a role in the lab's account.
pub(crate) fn role(name: &str) -> String {
    format!("arn:aws:iam::{}:role/{name}", LAB.account)
}

/// Returns the path of the program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_remote-buildkit"))
}

/// Creates a repository that contains the action under test and these files.
pub(crate) fn checkout(files: &[(&str, &str)]) -> Result<lab::Checkout> {
    lab::Checkout::new(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")),
        &program(),
        files,
    )
}

/// Sends a request to the control API of the AWS emulator and returns its answer.
pub(crate) fn emulator(path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
    let mut curl = Command::new("curl");
    curl.args(["-sf", "--noproxy", "*", "-d", &body.to_string()]);
    let answer = run(curl.arg(format!("{}{path}", LAB.aws_endpoint)))?;
    Ok(serde_json::from_str(&answer)?)
}

/// Returns how many requests for an operation the emulator received with this access key.
pub(crate) fn count_requests(operation: &str, key: &str) -> Result<usize> {
    let mut curl = Command::new("curl");
    let log = run(curl
        .args(["-sf", "--noproxy", "*"])
        .arg(format!("{}/_stub/log", LAB.aws_endpoint)))?;
    let log: Vec<serde_json::Value> = serde_json::from_str(&log)?;
    let requests = log
        .iter()
        .filter(|entry| entry["op"] == operation && entry["key"] == key);
    Ok(requests.count())
}

/// Runs a command and returns its standard output; an error with its output if it fails.
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

/// Waits up to a minute for a condition.
pub(crate) fn wait_for(what: &str, mut is_met: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..300 {
        if is_met()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    anyhow::bail!("waited a minute for {what}")
}
