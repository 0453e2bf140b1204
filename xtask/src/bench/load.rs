//! Measures many connects at the same time, and counts their requests.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use lab::State;

use super::alternatives::Runner;

const AT_ONCE: usize = 100;

/// Runs them twice: without an agent, then with the agent that the first run created.
pub(crate) fn run(state: &State, runner: &Runner<'_>) -> Result<()> {
    let agent = format!("load-{}", std::process::id());
    println!("\n{AT_ONCE} connects at once, seconds: p50, p95, p99; the most requests of one");
    for what in ["absent", "running"] {
        let run = format!("{what}-{}", std::process::id());
        let took = connect(runner, &run, &agent)?;
        let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1];
        println!(
            "agent {what:8} {:6.2} {:6.2} {:6.2}   {}",
            at(50),
            at(95),
            at(99),
            requests(state, &run)?
        );
    }
    runner.destroy(&agent).map(drop)
}

/// Connects all jobs and returns their durations, sorted.
fn connect(runner: &Runner<'_>, run: &str, agent: &str) -> Result<Vec<f64>> {
    let commands: Vec<Command> = (0..AT_ONCE)
        .map(|number| runner.connect_as(run, number, agent))
        .collect::<Result<_>>()?;
    let start = Barrier::new(AT_ONCE);
    let mut took = thread::scope(|scope| {
        let job = |mut command: Command| {
            let start = &start;
            scope.spawn(move || -> Result<f64> {
                start.wait();
                let since = Instant::now();
                let output = command.stdin(Stdio::null()).output()?;
                let took = since.elapsed().as_secs_f64();
                ensure!(
                    output.status.success(),
                    "connect failed: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                Ok(took)
            })
        };
        let jobs: Vec<_> = commands.into_iter().map(job).collect();
        let joined = jobs
            .into_iter()
            .map(|job| job.join().unwrap_or_else(|_| anyhow::bail!("a job panicked")));
        joined.collect::<Result<Vec<f64>>>()
    })?;
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// Returns the most requests that one job sent, for each kind of request.
fn requests(state: &State, run: &str) -> Result<String> {
    let prefix = format!("{run}-");
    let mut requests: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    let mut count = |kind: &'static str, job: String| {
        *requests.entry(kind).or_default().entry(job).or_default() += 1;
    };
    for (job, operation) in state.aws_requests()? {
        if job.starts_with(&prefix) {
            count(
                if operation == "DescribeCluster" {
                    "EKS"
                } else {
                    "STS"
                },
                job,
            );
        }
    }
    for request in state.api_requests(&prefix)? {
        count(
            if request.verb == "watch" {
                "watches"
            } else {
                "Kubernetes"
            },
            request.user,
        );
    }
    let most = requests
        .iter()
        .map(|(kind, counts)| format!("{kind} {}", counts.values().max().unwrap_or(&0)));
    Ok(most.collect::<Vec<_>>().join(", "))
}
