//! The runner stops connect at each of its stages: with SIGTERM through the launcher, or with SIGKILL.
//!
//! After SIGTERM the step itself cleans up. After SIGKILL it cannot, so the post step does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::SilentServer;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::support::{
    LAB, Namespace, Runner, RunnerSnapshot, Step, kubeconfig, program, record_seconds, wait_for,
};

/// The most time from a signal to the end. The runner waits 7.5 s after its first signal and 2.5 s after the second.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The action as a runner downloads it, with the program under test.
struct Action(tempfile::TempDir);

impl Action {
    fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
        for file in ["launch.mjs", "connect.mjs"] {
            std::fs::copy(dist.join(file), dir.path().join(file))?;
        }
        for architecture in ["x64", "arm64"] {
            let name = format!("remote-buildkit-linux-{architecture}");
            std::os::unix::fs::symlink(program(), dir.path().join(name))?;
        }
        Ok(Self(dir))
    }

    /// Returns the command that starts a step through the launcher, as the runner does.
    fn launched(&self, runner: &Runner, step: &Command) -> Command {
        let mut command = runner.command(LAB.node24_bin.join("node"));
        command.arg(self.0.path().join("connect.mjs"));
        for (name, value) in step.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }
}

/// Stops connect once `arrived` returns: with SIGTERM, and in another run with SIGKILL. Keeps the value that
/// `arrived` returns until connect has ended and drops it before the post step. Returns the longest time from a
/// signal to the end, in seconds.
fn stop_at_stage<T>(
    stage: &str,
    prepare: impl Fn(&mut Runner) -> Result<Command>,
    arrived: impl Fn(&Runner, &mut Step) -> Result<T>,
) -> Result<f64> {
    let action = Action::new()?;
    let mut longest = Duration::ZERO;
    for signal in [Signal::TERM, Signal::KILL] {
        let mut runner = Runner::new()?;
        let mut step = prepare(&mut runner)?;
        let before = RunnerSnapshot::take(&runner)?;
        if signal == Signal::TERM {
            step = action.launched(&runner, &step);
        }
        let mut connecting = runner.start(step)?;
        let guard = arrived(&runner, &mut connecting).with_context(|| stage.to_owned())?;
        connecting.signal(signal)?;
        let since = Instant::now();
        let outcome = runner.finish(connecting)?;
        let took = since.elapsed();
        ensure!(took < STOP_LIMIT, "{stage}: {signal:?} took {took:?}");
        longest = longest.max(took);
        ensure!(outcome.outputs.is_empty(), "{stage}: {:?}", outcome.outputs);
        if signal == Signal::TERM {
            ensure!(
                outcome.code == Some(1),
                "{stage}: {:?}: {}",
                outcome.code,
                outcome.log
            );
            ensure!(
                outcome.log.contains("stopped by SIGTERM"),
                "{stage}: {}",
                outcome.log
            );
            before
                .ensure_unchanged(&runner)
                .with_context(|| format!("{stage}: SIGTERM"))?;
        }
        drop(guard);
        runner.disconnect()?.ok()?;
        before
            .ensure_unchanged(&runner)
            .with_context(|| format!("{stage}: {signal:?}, post step"))?;
    }
    record_seconds(longest.as_secs_f64())?;
    Ok(longest.as_secs_f64())
}

/// Stops connect while a server does not answer. The variable sends one kind of request to that server.
fn unanswered(stage: &str, variable: &str, url: impl Fn(&str) -> String) -> Result<()> {
    let silent = SilentServer::listen()?;
    let address = silent.address()?;
    let prepare = |runner: &mut Runner| {
        runner.env.insert(variable.to_owned(), url(&address));
        Ok(runner.connect_command(&[]))
    };
    stop_at_stage(stage, prepare, |_, _| silent.accept_request()).map(drop)
}

#[test]
fn while_a_server_does_not_respond() -> Result<()> {
    unanswered("OIDC", "ACTIONS_ID_TOKEN_REQUEST_URL", |address| {
        format!("http://{address}/token")
    })?;
    let endpoint = |address: &str| format!("http://{address}");
    unanswered("STS", "AWS_ENDPOINT_URL_STS", endpoint)?;
    unanswered("DescribeCluster", "AWS_ENDPOINT_URL_EKS", endpoint)?;
    let silent = SilentServer::listen()?;
    let text = kubeconfig(&format!("https://{}", silent.address()?), "{token: t}");
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    let path = file.path().to_string_lossy();
    let prepare = |runner: &mut Runner| Ok(runner.connect_command_with_only(&[("kubeconfig", &path)]));
    stop_at_stage("API server", prepare, |_, _| silent.accept_request()).map(drop)
}

/// A plugin is another program and handles no signals; it would outlive the step.
#[test]
fn while_a_plugin_does_not_respond() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (file, started) = (dir.path().join("config"), dir.path().join("started"));
    // The plugin is a shell with a child process.
    let user = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, \
         args: [\"-c\", \"touch {}; sleep 100; true\"]}}}}",
        started.display()
    );
    std::fs::write(&file, kubeconfig("https://127.0.0.1:1", &user))?;
    let path = file.to_string_lossy();
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let step = runner.connect_command_with_only(&[("kubeconfig", &path)]);
    let action = Action::new()?;
    let connecting = runner.start(action.launched(&runner, &step))?;
    wait_for("the plugin", || Ok(started.exists()))?;
    connecting.signal(Signal::TERM)?;
    let since = Instant::now();
    let outcome = runner.finish(connecting)?;
    ensure!(outcome.code == Some(1), "{:?}: {}", outcome.code, outcome.log);
    ensure!(since.elapsed() < STOP_LIMIT, "{:?}", since.elapsed());
    record_seconds(since.elapsed().as_secs_f64())?;
    before.ensure_unchanged(&runner)
}

#[test]
fn while_waiting_for_the_agent() -> Result<()> {
    let _namespace = Namespace::new("stage-wait")?;
    let inputs = [("namespace", "stage-wait"), ("node-selector", "disk=floppy")];
    let prepare = |runner: &mut Runner| Ok(runner.connect_command(&inputs));
    // In the second run the agent exists already.
    let seconds = stop_at_stage("the agent", prepare, |_, connecting| {
        connecting.wait_for_line("stage-wait/remote-buildkit-agent")
    })?;
    // The next job repairs whatever is left in the cluster.
    let mut runner = Runner::new()?;
    runner
        .connect(&[("namespace", "stage-wait"), ("deploy", "always")])?
        .ok()?;
    runner.build("RUN echo built")?;
    record_seconds(seconds)
}

/// An agent whose buildctl never responds.
const HANGING_AGENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: remote-buildkit-agent, namespace: NAMESPACE}
spec:
  selector: {matchLabels: {app: remote-buildkit-agent}}
  template:
    metadata: {labels: {app: remote-buildkit-agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: buildkitd
        image: moby/buildkit:v0.34.2
        command: [sh, -c, "printf '#!/bin/sh\ntouch /called; sleep 100' > /usr/bin/buildctl && sleep 1000"]
        readinessProbe: {exec: {command: [grep, -q, called, /usr/bin/buildctl]}, periodSeconds: 1}
"#;

#[test]
fn during_an_exec() -> Result<()> {
    let namespace = Namespace::new("stage-exec")?;
    namespace.apply(HANGING_AGENT)?;
    let deployment = "deployment/remote-buildkit-agent";
    namespace.kubectl(&["wait", deployment, "--for=condition=Available", "--timeout=60s"])?;
    let exec = |command: &[&str]| namespace.kubectl(&[&["exec", deployment, "--"], command].concat());
    let prepare = |runner: &mut Runner| {
        exec(&["rm", "-f", "/called"])?;
        Ok(runner.connect_command(&[("namespace", "stage-exec")]))
    };
    stop_at_stage("exec", prepare, |_, _| {
        wait_for("the exec", || Ok(exec(&["ls", "/called"]).is_ok()))
    })
    .map(drop)
}

#[test]
fn while_another_process_holds_buildxs_lock() -> Result<()> {
    let _namespace = Namespace::new("stage-lock")?;
    let inputs = [("namespace", "stage-lock")];
    let mut first = Runner::new()?;
    first.connect(&inputs)?.ok()?;
    let prepare = |runner: &mut Runner| Ok(runner.connect_command(&inputs));
    let arrived = |runner: &Runner, connecting: &mut Step| {
        let held = lock(runner)?;
        connecting.wait_for_line("responds in the pod")?;
        Ok(held)
    };
    stop_at_stage("buildx's lock", prepare, arrived).map(drop)
}

/// Locks buildx's directory as another buildx does.
fn lock(runner: &Runner) -> Result<File> {
    let dir: PathBuf = runner.home.join(".docker/buildx");
    std::fs::create_dir_all(&dir)?;
    let lock = File::create(dir.join(".lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

/// connect fails before its deadline.
#[test]
fn another_process_never_releases_buildxs_lock() -> Result<()> {
    let _namespace = Namespace::new("never-unlocked")?;
    let inputs = [("namespace", "never-unlocked")];
    let mut runner = Runner::new()?;
    let held = lock(&runner)?;
    let before = RunnerSnapshot::take(&runner)?;
    let outcome = runner.connect(&inputs)?;
    let words = ["another process holds it", "/.docker/buildx/.lock"];
    before.ensure_failed_cleanly(&runner, &outcome, "buildx directory is locked", &words)?;
    drop(held);
    runner.connect(&inputs)?.ok()?;
    record_seconds(outcome.seconds)
}

/// Kills connect at many moments: while it signs in, reads the cluster or applies one of the objects.
#[test]
fn killed_at_any_moment_the_next_job_repairs_the_rest() -> Result<()> {
    let namespace = Namespace::new("stage-any")?;
    let mut deployed = false;
    for version in ["2", "3"] {
        let inputs = [
            ("namespace", "stage-any"),
            ("max-parallelism", version),
            ("deploy", "always"),
        ];
        for moment in (20..600).step_by(35) {
            let mut runner = Runner::new()?;
            let before = RunnerSnapshot::take(&runner)?;
            let connecting = runner.start(runner.connect_command(&inputs))?;
            std::thread::sleep(Duration::from_millis(moment));
            connecting.signal(Signal::KILL)?;
            runner.finish(connecting)?;
            runner.disconnect()?.ok()?;
            // The last kill may come after connect has written its exports.
            runner.forget_exports();
            before
                .ensure_unchanged(&runner)
                .with_context(|| format!("after {moment} ms"))?;
            deployed |= !namespace.names("deployment")?.is_empty();
        }
        let mut runner = Runner::new()?;
        runner.connect(&inputs)?.ok()?;
        let config = namespace.json(&["get", "configmap", "remote-buildkit-agent"])?;
        let toml = config["data"]["buildkitd.toml"].as_str().context("no toml")?;
        ensure!(toml.contains(&format!("max-parallelism = {version}\n")), "{toml}");
        runner.build("RUN echo built")?;
    }
    ensure!(deployed, "all were killed before they began");
    Ok(())
}
