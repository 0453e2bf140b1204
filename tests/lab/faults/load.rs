//! A hundred jobs at once: what they ask of AWS and of the cluster is bounded, and none of them fails.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, record_seconds};

const JOBS: usize = 100;

#[test]
fn a_hundred_jobs_at_once_find_an_agent() -> Result<()> {
    let namespace = Namespace::new("load")?;
    // The logs know other runs as well.
    let run = |name: &str| format!("load-{name}-{}", std::process::id());
    let (absent, running) = (run("absent"), run("running"));
    let made = connect(&absent)?;
    let longest = made.iter().max().map_or(0, Duration::as_secs);
    println!("{JOBS} at once, agent absent: {}", spread(made));
    let first = namespace.names("pod")?;
    ensure!(first.len() == 1, "more than one agent: {first:?}");
    let found = connect(&running)?;
    // Of the last of them.
    record_seconds(found.iter().max().map_or(0.0, Duration::as_secs_f64))?;
    println!("{JOBS} at once, agent running: {}", spread(found));
    assert_eq!(namespace.names("pod")?, first);

    let (requests, watches) = asked(&absent)?;
    println!("most requests of a job to the API server: {requests}, and {watches} watches");
    // Each kind of object is looked at, tried and applied, another look where a job came first; and the Deployment is
    // looked at every ten seconds of the wait.
    let wait = usize::try_from(longest / 10)?;
    ensure!(
        requests <= 16 + wait,
        "{requests} requests to make an agent in {longest} s"
    );
    let (requests, watches) = asked(&running)?;
    println!("  where an agent runs: {requests}, and {watches} watches");
    // The Deployment, its ConfigMap, its pods, its pods again before the exec, the exec.
    ensure!(
        requests <= 5 && watches == 0,
        "{requests} requests, {watches} watches"
    );
    Ok(())
}

/// Connects all of them and returns how long each took.
fn connect(run: &str) -> Result<Vec<Duration>> {
    let mut runners = Vec::new();
    for job in 0..JOBS {
        let mut runner = Runner::new()?;
        let name = format!("{run}-{job}");
        runner
            .env
            .insert("GITHUB_REPOSITORY".into(), format!("acme/{run}"));
        runner.env.insert("GITHUB_RUN_ID".into(), job.to_string());
        runner.env.insert("AWS_SDK_UA_APP_ID".into(), name);
        runners.push(runner);
    }
    let start = Barrier::new(JOBS);
    thread::scope(|scope| {
        let job = |mut runner: Runner| {
            let start = &start;
            scope.spawn(move || -> Result<Duration> {
                start.wait();
                let since = Instant::now();
                runner.connect(&[("namespace", "load")])?.ok()?;
                Ok(since.elapsed())
            })
        };
        let jobs: Vec<_> = runners.into_iter().map(job).collect();
        jobs.into_iter()
            .map(|job| job.join().expect("no panic"))
            .collect()
    })
}

fn spread(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |percent: usize| took[(took.len() * percent).div_ceil(100) - 1].as_secs_f64();
    format!("p50 {:.1} s, p95 {:.1} s, p99 {:.1} s", at(50), at(95), at(99))
}

/// Checks what each job asked of AWS, and that nothing was asked of the cluster for all there is; returns the most
/// requests that a job sent to the API server, and the most watches.
fn asked(run: &str) -> Result<(usize, usize)> {
    let mut of_aws: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (app, operation) in LAB.aws_requests()? {
        if app.starts_with(&format!("{run}-")) {
            of_aws.entry(app).or_default().push(operation);
        }
    }
    ensure!(of_aws.len() == JOBS, "{} jobs asked AWS", of_aws.len());
    for (job, operations) in of_aws {
        ensure!(
            operations == ["AssumeRoleWithWebIdentity", "DescribeCluster"],
            "{job} asked AWS for {operations:?}"
        );
    }
    let mut of_cluster: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for request in LAB.api_requests(&format!("acme-{run}-"))? {
        ensure!(
            !request.is_unselective(),
            "a job asked for all there is: {request:?}"
        );
        let (requests, watches) = of_cluster.entry(request.user).or_default();
        *(if request.verb == "watch" {
            watches
        } else {
            requests
        }) += 1;
    }
    ensure!(
        of_cluster.len() == JOBS,
        "{} jobs asked the cluster",
        of_cluster.len()
    );
    let most = |of: fn(&(usize, usize)) -> usize| of_cluster.values().map(of).max().unwrap_or_default();
    Ok((most(|of| of.0), most(|of| of.1)))
}
