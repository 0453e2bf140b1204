//! A log that is not read, and servers and plugins that send megabytes of text.

mod whole;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{HttpResponse, HttpServer};
use serde_json::json;

use crate::support::{Namespace, Outcome, Runner, RunnerSnapshot, kubeconfig, record_seconds};

/// The most bytes that a step may log, however much text it receives.
const MAX_LOG_BYTES: usize = 50_000;

/// Checks that the log is short and contains no workflow commands but the program's own.
fn ensure_log_is_bounded(outcome: &Outcome) -> Result<()> {
    let log = &outcome.log;
    ensure!(log.len() < MAX_LOG_BYTES, "{} bytes of log", log.len());
    let commands = log.lines().filter(|line| line.trim_start().starts_with("::"));
    for command in commands {
        let known = [
            "::add-mask::",
            "::error title=",
            "::warning title=",
            "::group::Waiting for the agent",
            "::endgroup::",
        ];
        ensure!(
            known.iter().any(|known| command.starts_with(known)),
            "unknown workflow command: {command}"
        );
    }
    Ok(())
}

/// Runs a step whose standard output nobody reads, and returns its exit code.
fn run_unread(runner: &mut Runner, mut command: Command, stdout: Stdio) -> Result<Option<i32>> {
    runner.reset_command_files()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .spawn()?;
    let since = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait()? {
            break status.code();
        }
        if since.elapsed() > Duration::from_secs(60) {
            child.kill()?;
            anyhow::bail!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    record_seconds(since.elapsed().as_secs_f64())?;
    runner.read_command_files()?;
    Ok(code)
}

/// Returns a full pipe.
fn full_pipe() -> Result<(std::io::PipeReader, Stdio)> {
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(&vec![b'\n'; 1 << 16])?;
    Ok((reader, writer.into()))
}

#[test]
fn closed_or_unread_log_does_not_fail_connect() -> Result<()> {
    let _namespace = Namespace::new("unread")?;
    let inputs = [("namespace", "unread")];
    let mut runner = Runner::new()?;
    runner.connect(&inputs)?.ok()?;
    runner.disconnect()?.ok()?;
    let usable = |runner: &mut Runner, code: Option<i32>, how: &str| -> Result<()> {
        ensure!(code == Some(0), "{how}: exit code {code:?}");
        runner.build("RUN echo built").with_context(|| how.to_owned())?;
        runner.disconnect()?.ok()?;
        Ok(())
    };

    let command = runner.connect_command(&inputs);
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let code = run_unread(&mut runner, command, writer.into())?;
    usable(&mut runner, code, "a pipe without a reader")?;

    let command = runner.connect_command(&inputs);
    let (_reader, writer) = full_pipe()?;
    let code = run_unread(&mut runner, command, writer)?;
    usable(&mut runner, code, "a pipe that nobody reads")?;

    let step = runner.connect_command(&inputs);
    let mut command = runner.command("bash");
    command
        .args(["-c", "exec \"$@\" <&- >&- 2>&-", "bash"])
        .arg(step.get_program())
        .args(step.get_args());
    for (name, value) in step.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let code = runner.step(command)?.code;
    usable(&mut runner, code, "no standard output at all")
}

/// The runner hangs. The step still ends at its timeout and removes its secrets.
#[test]
fn unread_log_does_not_delay_the_timeout() -> Result<()> {
    let _namespace = Namespace::new("unread-late")?;
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let command = runner.connect_command(&[
        ("namespace", "unread-late"),
        ("node-selector", "disk=floppy"),
        ("timeout", "5s"),
    ]);
    let (_reader, writer) = full_pipe()?;
    let since = Instant::now();
    let code = run_unread(&mut runner, command, writer)?;
    ensure!(code == Some(1), "exit code {code:?}");
    ensure!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    before.ensure_unchanged(&runner)
}

#[test]
fn api_server_sends_megabytes() -> Result<()> {
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let message = format!(
        "deployments cannot get: \n::error::injected\n{}",
        "no more text ".repeat(300_000)
    );
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
        "code": 403, "message": message});
    let answer = HttpResponse::new(403, status.to_string()).header("content-type", "application/json");
    let server = HttpServer::start(move |_| answer.clone())?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), kubeconfig(&server.url, "{token: t}"))?;
    let path = file.path().to_string_lossy();
    let outcome = runner.step(runner.connect_command_with_only(&[("kubeconfig", &path)]))?;
    let words = ["no more text", "bytes left out", "Bind a Role"];
    before.ensure_failed_cleanly(&runner, &outcome, "Cluster denied permission (403)", &words)?;
    ensure_log_is_bounded(&outcome)
}

#[test]
fn plugin_prints_megabytes() -> Result<()> {
    for to in ["", ">&2"] {
        let mut runner = Runner::new()?;
        let before = RunnerSnapshot::take(&runner)?;
        let file = tempfile::NamedTempFile::new()?;
        let script = format!("yes ::error::injected {to} | head -c 4000000 {to}; exit 1");
        // Only `head` is redirected.
        let script = script.replacen(&format!(" {to} |"), " |", 1);
        let plugin = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", script], "interactiveMode": "Never"}});
        let text = kubeconfig("https://127.0.0.1:1", &plugin.to_string());
        std::fs::write(file.path(), text)?;
        let path = file.path().to_string_lossy();
        let outcome = runner.step(runner.connect_command_with_only(&[("kubeconfig", &path)]))?;
        let words = ["sh", "users, exec"];
        before.ensure_failed_cleanly(&runner, &outcome, "Credential plugin failed", &words)?;
        ensure_log_is_bounded(&outcome)?;
    }
    Ok(())
}

#[test]
fn event_contains_a_megabyte() -> Result<()> {
    let namespace = Namespace::new("events")?;
    let message = "::error::injected\n and so on ".repeat(30_000);
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "said", "namespace": "events"},
        "involvedObject": {"kind": "PersistentVolumeClaim", "name": "remote-buildkit-agent", "namespace": "events"},
        "type": "Warning", "reason": "ProvisioningFailed", "message": message,
        "source": {"component": "persistentvolume-controller"}});
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), event.to_string())?;
    namespace.kubectl(&["create", "-f", &file.path().to_string_lossy()])?;
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let inputs = [
        ("namespace", "events"),
        ("node-selector", "disk=floppy"),
        ("timeout", "20s"),
    ];
    let outcome = runner.connect(&inputs)?;
    let words = ["within the timeout", "Waiting for: the volume to be bound"];
    before.ensure_failed_cleanly(&runner, &outcome, "Agent not ready in time", &words)?;
    ensure_log_is_bounded(&outcome)?;
    Ok(())
}
