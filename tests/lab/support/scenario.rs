//! A job during a fault: how its connect ends, and that nothing is left.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::step::{Step, record_seconds};
use super::{LAB, Namespace, Outcome, Runner, RunnerSnapshot, run};

/// How many seconds after its `timeout` a connect may end: for its error message and a busy machine.
const TOLERANCE: f64 = 6.0;

/// A job in its own namespace.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) runner: Runner,
    pub(crate) namespace: Namespace,
    inputs: Vec<(&'static str, String)>,
    timeout: u32,
    before: RunnerSnapshot,
}

impl Scenario {
    /// Creates a job in a namespace of this name, with this `timeout` in seconds.
    pub(crate) fn new(name: &str, timeout: u32) -> Result<Self> {
        let runner = Runner::new()?;
        let before = RunnerSnapshot::take(&runner)?;
        Ok(Self {
            runner,
            namespace: Namespace::new(name)?,
            inputs: vec![("namespace", name.to_owned()), ("timeout", format!("{timeout}s"))],
            timeout,
            before,
        })
    }

    /// Sets a variable of the job.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Result<Self> {
        self.runner.env.insert(name.into(), value.into());
        self.before = RunnerSnapshot::take(&self.runner)?;
        Ok(self)
    }

    /// Sets an input of connect.
    pub(crate) fn input(mut self, name: &'static str, value: &str) -> Self {
        self.inputs.push((name, value.to_owned()));
        self
    }

    /// Deploys an agent with another job and returns its pod.
    pub(crate) fn deploy_agent(&self) -> Result<String> {
        let mut outcome = self.run_healthy_job()?;
        outcome.outputs.remove("agent").context("no agent")
    }

    /// Starts connect.
    pub(crate) fn start(&self) -> Result<Step> {
        self.runner.start(self.runner.connect_command(&self.inputs()))
    }

    /// Runs connect, which must fail in time with this title and these words, and leave nothing.
    pub(crate) fn expect_failure(&mut self, title: &str, words: &[&str]) -> Result<Outcome> {
        let step = self.start()?;
        self.expect_failure_of(step, title, words)
    }

    /// Waits for a connect that must fail in time with this title and these words, and leave nothing.
    pub(crate) fn expect_failure_of(&mut self, step: Step, title: &str, words: &[&str]) -> Result<Outcome> {
        let outcome = self.finish_in_time(step)?;
        outcome.expect_error(title, words)?;
        self.before.ensure_no_builder(&self.runner)?;
        self.runner.disconnect()?.ok()?;
        self.before.ensure_nothing_left(&self.runner)?;
        Ok(outcome)
    }

    /// Runs connect, which must succeed despite the fault, and leave nothing after the post step.
    pub(crate) fn expect_success(&mut self) -> Result<Outcome> {
        let step = self.start()?;
        self.expect_success_of(step)
    }

    /// Waits for a connect that must succeed despite the fault, and leave nothing after the post step.
    pub(crate) fn expect_success_of(&mut self, step: Step) -> Result<Outcome> {
        let outcome = self.finish_in_time(step)?.ok()?;
        self.runner.disconnect()?.ok()?;
        self.runner.forget_exports();
        self.before.ensure_no_builder(&self.runner)?;
        self.before.ensure_nothing_left(&self.runner)?;
        Ok(outcome)
    }

    /// Checks that after the fault a job connects, with the objects that this one left in the cluster.
    pub(crate) fn expect_recovery(&self) -> Result<()> {
        self.run_healthy_job().map(drop)
    }

    fn run_healthy_job(&self) -> Result<Outcome> {
        let mut runner = Runner::new()?;
        let before = RunnerSnapshot::take(&runner)?;
        let namespace = ("namespace", self.namespace.0.as_str());
        let step = runner.start(runner.connect_command(&[namespace]))?;
        let outcome = runner.finish(step)?.ok()?;
        runner.disconnect()?.ok()?;
        before.ensure_nothing_left(&runner)?;
        Ok(outcome)
    }

    fn finish_in_time(&mut self, step: Step) -> Result<Outcome> {
        let outcome = self.runner.finish(step)?;
        record_seconds(outcome.seconds)?;
        let Outcome { seconds, log, .. } = &outcome;
        ensure!(
            *seconds < f64::from(self.timeout) + TOLERANCE,
            "it took {seconds} s with a timeout of {} s: {log}",
            self.timeout
        );
        Ok(outcome)
    }

    fn inputs(&self) -> Vec<(&str, &str)> {
        let inputs = self.inputs.iter();
        inputs.map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// Error responses of the AWS and GitHub emulator, until this is dropped.
#[derive(Debug)]
pub(crate) struct ServiceErrors;

impl ServiceErrors {
    /// Returns an error for this many requests of an operation: one of AWS, or `IdToken`.
    pub(crate) fn set(op: &str, status: u16, code: &str, count: u32) -> Result<Self> {
        post_faults(
            &json!([{"op": op, "status": status, "code": code, "message": "injected fault", "count": count}]),
        )?;
        Ok(Self)
    }

    pub(crate) fn clear(self) {}
}

impl Drop for ServiceErrors {
    fn drop(&mut self) {
        if let Err(error) = post_faults(&json!([])) {
            eprintln!("the emulator still returns errors: {error:#}");
        }
    }
}

fn post_faults(faults: &Value) -> Result<()> {
    let url = format!("{}/_stub/faults", LAB.aws_endpoint);
    let mut curl = Command::new("curl");
    run(curl.args(["--silent", "--fail", "--data", &faults.to_string(), &url])).map(drop)
}

/// Returns whether connect's probe is running in an agent, for any job on the machine. Only for tests that run alone.
pub(crate) fn probe_is_running() -> Result<bool> {
    let lines = std::fs::read_dir("/proc")?.flatten().map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    });
    Ok(lines
        .into_iter()
        .any(|line| line.starts_with("buildctl debug workers --format")))
}
