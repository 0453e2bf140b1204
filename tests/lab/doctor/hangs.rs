//! Nothing that hangs hangs the doctor.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{doctor, doctor_command, instead_of_buildx, rows, says};
use crate::support::{LAB, Namespace, Runner, program, run, wait_for};

/// buildx hangs: its whole group goes at the timeout, which is told, or with a signal.
#[test]
fn a_buildx_that_hangs_goes_with_the_doctor() -> Result<()> {
    let _namespace = Namespace::new("doctor-hang")?;
    let mut runner = Runner::new()?;
    runner.connect(&[("namespace", "doctor-hang")])?.ok()?;
    runner.disconnect()?.ok()?;
    // A number that no other process of this machine sleeps for.
    let seconds = 100_000 + u64::from(std::process::id());
    instead_of_buildx(&runner, &format!("*build\\ *) sleep {seconds} & wait"))?;
    let before = runner.tree()?;

    let began = Instant::now();
    let flags = ["--namespace", "doctor-hang", "--json", "--timeout", "8s"];
    let outcome = doctor(&mut runner, "ci", &flags)?;
    ensure!(outcome.code == Some(1), "{}", outcome.log);
    ensure!(began.elapsed().as_secs() < 30, "took {:?}", began.elapsed());
    let rows = rows(&outcome)?;
    says(&rows, "build", "failed", &["timeout of 8 s"])?;
    says(&rows, "cache", "skipped", &["skipped (requires build)"])?;
    ensure!(sleeping(seconds)? == 0, "a child is left");
    assert_eq!(runner.tree()?, before);

    let mut command = doctor_command(&runner, "ci", &["--namespace", "doctor-hang"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    wait_for("the build to begin", || Ok(sleeping(seconds)? > 0))?;
    run(Command::new("kill").args(["-TERM", &child.id().to_string()]))?;
    let began = Instant::now();
    let status = child.wait()?;
    ensure!(began.elapsed().as_secs() < 10, "took {:?}", began.elapsed());
    let mut said = String::new();
    child.stderr.take().context("stderr")?.read_to_string(&mut said)?;
    ensure!(status.code() == Some(1), "{status}: {said}");
    ensure!(sleeping(seconds)? == 0, "a child is left");
    assert_eq!(runner.tree()?, before);
    Ok(())
}

/// A credential plugin that does not answer blocks a thread: neither connect, nor what explains it, nor the doctor hangs.
#[test]
fn a_plugin_that_hangs_hangs_nobody() -> Result<()> {
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
    let outcome = runner.connect_with_only(&[("kubeconfig", &path), ("timeout", "3s")])?;
    ensure!(outcome.code == Some(1), "{}", outcome.log);
    ensure!(began.elapsed().as_secs() < 20, "took {:?}", began.elapsed());
    let (part, _) = outcome
        .log
        .split_once("::error title=Timed out::")
        .with_context(|| outcome.log.clone())?;
    ensure!(part.contains("✗ token"), "{part}");

    let mut command = runner.command(program());
    command.args(["doctor", "--json", "--timeout", "3s", "--kubeconfig", &path]);
    let outcome = runner.run_step(command)?;
    ensure!(began.elapsed().as_secs() < 30, "took {:?}", began.elapsed());
    says(&rows(&outcome)?, "token", "failed", &["timeout of 3 s"])?;
    assert_eq!(runner.tree()?, before);
    Ok(())
}

/// How many processes sleep for so long.
fn sleeping(seconds: u64) -> Result<usize> {
    let wanted = format!("sleep\0{seconds}\0");
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")? {
        let line = std::fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        found += usize::from(line == wanted.as_bytes());
    }
    Ok(found)
}
