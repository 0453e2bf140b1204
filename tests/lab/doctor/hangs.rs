//! `doctor` ends at its timeout, no matter what hangs.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{doctor, doctor_command, expect_row, replace_buildx, rows};
use crate::support::{LAB, Namespace, Runner, program, run, wait_for};

/// buildx hangs: its process group is killed at the timeout, which the row reports, or at a signal.
#[test]
fn a_hanging_buildx_is_killed() -> Result<()> {
    let _namespace = Namespace::new("doctor-hang")?;
    let mut runner = Runner::new()?;
    runner.connect(&[("namespace", "doctor-hang")])?.ok()?;
    runner.disconnect()?.ok()?;
    // A duration that no other process of this machine sleeps for.
    let seconds = 100_000 + u64::from(std::process::id());
    replace_buildx(&runner, &format!("*build\\ *) sleep {seconds} & wait"))?;
    let before = runner.tree()?;

    let began = Instant::now();
    let flags = ["--namespace", "doctor-hang", "--json", "--timeout", "8s"];
    let outcome = doctor(&mut runner, "ci", &flags)?;
    ensure!(outcome.code == Some(1), "{}", outcome.log);
    ensure!(began.elapsed().as_secs() < 30, "took {:?}", began.elapsed());
    let rows = rows(&outcome)?;
    expect_row(
        &rows,
        "build",
        "failed",
        &["did not finish within the timeout of 8 s"],
    )?;
    expect_row(&rows, "cache", "skipped", &["skipped (requires build)"])?;
    ensure!(sleeping(seconds)? == 0, "a child process is left");
    assert_eq!(runner.tree()?, before);

    let mut command = doctor_command(&runner, "ci", &["--namespace", "doctor-hang"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    wait_for("the build to begin", || Ok(sleeping(seconds)? > 0))?;
    run(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
    let began = Instant::now();
    let status = child.wait()?;
    ensure!(began.elapsed().as_secs() < 10, "took {:?}", began.elapsed());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .context("stderr")?
        .read_to_string(&mut stderr)?;
    ensure!(status.code() == Some(1), "{status}: {stderr}");
    ensure!(sleeping(seconds)? == 0, "a child process is left");
    assert_eq!(runner.tree()?, before);
    Ok(())
}

/// A credential plugin that does not respond blocks a thread. `connect`, the checks that it prints and `doctor` must
/// still end at the timeout.
#[test]
fn a_hanging_plugin_is_bounded_by_the_timeout() -> Result<()> {
    let text = std::fs::read_to_string(&LAB.admin_kubeconfig)?;
    let mut config: Value = serde_json::from_str(&text)?;
    config["users"][0]["user"] = serde_json::json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sleep",
        "args": ["25"],
        "interactiveMode": "Never",
    }});
    let mut runner = Runner::new()?;
    let path = runner.home.join("kubeconfig");
    std::fs::write(&path, config.to_string())?;
    let path = path.to_string_lossy();
    let before = runner.tree()?;
    let began = Instant::now();
    let outcome =
        runner.step(runner.connect_command_with_only(&[("kubeconfig", &path), ("timeout", "3s")]))?;
    ensure!(outcome.code == Some(1), "{}", outcome.log);
    ensure!(began.elapsed().as_secs() < 20, "took {:?}", began.elapsed());
    let (part, _) = outcome
        .log
        .split_once("::error title=Timed out::")
        .with_context(|| outcome.log.clone())?;
    ensure!(super::uncolored(part).contains("✗ token"), "{part}");

    let mut command = runner.command(program());
    command.args(["doctor", "--json", "--timeout", "3s", "--kubeconfig", &path]);
    let outcome = runner.step(command)?;
    ensure!(began.elapsed().as_secs() < 30, "took {:?}", began.elapsed());
    expect_row(
        &rows(&outcome)?,
        "token",
        "failed",
        &["did not finish within the timeout of 3 s"],
    )?;
    assert_eq!(runner.tree()?, before);
    Ok(())
}

/// Returns how many processes sleep for this number of seconds.
fn sleeping(seconds: u64) -> Result<usize> {
    let expected = format!("sleep\0{seconds}\0");
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")? {
        let line = std::fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        found += usize::from(line == expected.as_bytes());
    }
    Ok(found)
}
