//! A job while something is broken: how its connect ends, and that nothing remains.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::step::{Step, note};
use super::{Before, LAB, Namespace, Outcome, Runner, run};

/// How much later than its `timeout` a connect may end: it says so after a second, on two processors that others use.
const LATE: f64 = 6.0;

/// A job of its own, in a namespace of its own.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) runner: Runner,
    pub(crate) namespace: Namespace,
    inputs: Vec<(&'static str, String)>,
    timeout: u32,
    before: Before,
}

impl Scenario {
    /// For the test of this name, with this `timeout` in seconds.
    pub(crate) fn new(name: &str, timeout: u32) -> Result<Self> {
        let runner = Runner::new()?;
        let before = Before::of(&runner)?;
        Ok(Self {
            runner,
            namespace: Namespace::new(name)?,
            inputs: vec![("namespace", name.to_owned()), ("timeout", format!("{timeout}s"))],
            timeout,
            before,
        })
    }

    /// In an environment with this variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Result<Self> {
        self.runner.env.insert(name.into(), value.into());
        self.before = Before::of(&self.runner)?;
        Ok(self)
    }

    /// With this input.
    pub(crate) fn input(mut self, name: &'static str, value: &str) -> Self {
        self.inputs.push((name, value.to_owned()));
        self
    }

    /// Where an earlier job left an agent; its pod.
    pub(crate) fn agent(&self) -> Result<String> {
        let mut outcome = self.undisturbed()?;
        outcome.outputs.remove("agent").context("no agent")
    }

    /// Starts connect.
    pub(crate) fn start(&self) -> Result<Step> {
        self.runner.start_connect(&self.inputs())
    }

    /// connect has to fail in time with this title and these words, and to leave nothing.
    pub(crate) fn fails(&mut self, title: &str, words: &[&str]) -> Result<Outcome> {
        let step = self.start()?;
        self.failed(step, title, words)
    }

    /// The same of one that runs.
    pub(crate) fn failed(&mut self, step: Step, title: &str, words: &[&str]) -> Result<Outcome> {
        let outcome = self.in_time(step)?;
        outcome.refused(title, words)?;
        self.before.nothing_is_selected(&self.runner)?;
        self.runner.disconnect()?.ok()?;
        self.before.nothing_remains(&self.runner)?;
        Ok(outcome)
    }

    /// connect has to reach the agent all the same, and to leave nothing after the post step.
    pub(crate) fn connects(&mut self) -> Result<Outcome> {
        let step = self.start()?;
        self.connected(step)
    }

    /// The same of one that runs.
    pub(crate) fn connected(&mut self, step: Step) -> Result<Outcome> {
        let outcome = self.in_time(step)?.ok()?;
        self.runner.disconnect()?.ok()?;
        next_job(&mut self.runner.env);
        self.before.nothing_is_selected(&self.runner)?;
        self.before.nothing_remains(&self.runner)?;
        Ok(outcome)
    }

    /// With nothing broken any more, a job connects to what this one left in the cluster.
    pub(crate) fn heals(&self) -> Result<()> {
        self.undisturbed().map(drop)
    }

    fn undisturbed(&self) -> Result<Outcome> {
        let mut runner = Runner::new()?;
        let before = Before::of(&runner)?;
        let namespace = ("namespace", self.namespace.0.as_str());
        let step = runner.start_connect(&[namespace])?;
        let outcome = runner.finish(step)?.ok()?;
        runner.disconnect()?.ok()?;
        before.nothing_remains(&runner)?;
        Ok(outcome)
    }

    fn in_time(&mut self, step: Step) -> Result<Outcome> {
        let outcome = self.runner.finish(step)?;
        note(outcome.seconds)?;
        let Outcome { seconds, log, .. } = &outcome;
        ensure!(
            *seconds < f64::from(self.timeout) + LATE,
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

/// What the emulator of AWS and GitHub answers instead of what it would, until this is dropped.
#[derive(Debug)]
pub(crate) struct Answers;

impl Answers {
    /// `op` is an operation of AWS, or IdToken; this many times.
    pub(crate) fn of(op: &str, status: u16, code: &str, count: u32) -> Result<Self> {
        set(&json!([{"op": op, "status": status, "code": code, "message": "as told", "count": count}]))?;
        Ok(Self)
    }

    pub(crate) fn end(self) {}
}

impl Drop for Answers {
    fn drop(&mut self) {
        if let Err(error) = set(&json!([])) {
            eprintln!("the emulator goes on as told: {error:#}");
        }
    }
}

/// Without what the runner still has in a job's environment after the post step, which cannot take it back.
fn next_job(env: &mut BTreeMap<String, String>) {
    env.remove("BUILDX_BUILDER");
    if let Some(session) = env.remove("REMOTE_BUILDKIT_SESSION")
        && let Some(path) = env.get_mut("PATH")
    {
        *path = path.replacen(&format!("{session}/bin:"), "", 1);
    }
}

fn set(faults: &Value) -> Result<()> {
    let url = format!("{}/_stub/faults", LAB.aws_endpoint);
    let mut curl = Command::new("curl");
    run(curl.args(["--silent", "--fail", "--data", &faults.to_string(), &url])).map(drop)
}

/// Whether the command runs that connect starts in an agent to ask whether it answers; only one test runs at a time.
pub(crate) fn probe_runs() -> Result<bool> {
    let lines = std::fs::read_dir("/proc")?.flatten().map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    });
    Ok(lines
        .into_iter()
        .any(|line| line.starts_with("buildctl debug workers --format")))
}
