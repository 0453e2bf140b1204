//! A hundred jobs at once: none of them fails, and their requests to AWS and to the cluster are bounded.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, record_seconds};

const JOBS: usize = 100;

#[test]
fn a_hundred_jobs_connect_to_one_agent() -> Result<()> {
    let namespace = Namespace::new("load")?;
    // The logs contain other runs as well, so the names are unique.
    let run = |name: &str| format!("load-{name}-{}", std::process::id());
    let (absent, running) = (run("absent"), run("running"));
    let created = connect(&absent)?;
    let longest = created.iter().max().map_or(0, Duration::as_secs);
    println!("{JOBS} at once, agent absent: {}", spread(created));
    let first = namespace.names("pod")?;
    ensure!(first.len() == 1, "more than one agent: {first:?}");
    let found = connect(&running)?;
    // Record the slowest job.
    record_seconds(found.iter().max().map_or(0.0, Duration::as_secs_f64))?;
    println!("{JOBS} at once, agent running: {}", spread(found));
    assert_eq!(namespace.names("pod")?, first);

    let (requests, watches) = check_requests(&absent)?;
    println!("most requests of a job to the API server: {requests}, and {watches} watches");
    // Each kind of object is read, applied in a dry run and applied, and read again if another job was first. During
    // the wait, the Deployment is read every ten seconds.
    let wait = usize::try_from(longest / 10)?;
    ensure!(
        requests <= 16 + wait,
        "{requests} requests to make an agent in {longest} s"
    );
    let (requests, watches) = check_requests(&running)?;
    println!("  where an agent runs: {requests}, and {watches} watches");
    // The Deployment, its ConfigMap, its pods, its pods again before the exec, the exec.
    ensure!(
        requests <= 5 && watches == 0,
        "{requests} requests, {watches} watches"
    );
    Ok(())
}

/// Connects all jobs and returns how long each took.
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

/// Checks what each job requested from AWS, and that no job requested all objects of a kind from the cluster. Returns
/// the most requests that a job sent to the API server, and the most watches.
fn check_requests(run: &str) -> Result<(usize, usize)> {
    let mut aws_by_job: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (app, operation) in LAB.aws_requests()? {
        if app.starts_with(&format!("{run}-")) {
            aws_by_job.entry(app).or_default().push(operation);
        }
    }
    ensure!(
        aws_by_job.len() == JOBS,
        "{} jobs sent requests to AWS",
        aws_by_job.len()
    );
    for (job, operations) in aws_by_job {
        ensure!(
            operations == ["AssumeRoleWithWebIdentity", "DescribeCluster"],
            "{job} requested from AWS: {operations:?}"
        );
    }
    let mut api_by_job: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for request in LAB.api_requests(&format!("acme-{run}-"))? {
        ensure!(
            !request.is_unselective(),
            "a job requested all objects of a kind: {request:?}"
        );
        let (requests, watches) = api_by_job.entry(request.user).or_default();
        *(if request.verb == "watch" {
            watches
        } else {
            requests
        }) += 1;
    }
    ensure!(
        api_by_job.len() == JOBS,
        "{} jobs sent requests to the cluster",
        api_by_job.len()
    );
    let most = |key: fn(&(usize, usize)) -> usize| api_by_job.values().map(key).max().unwrap_or_default();
    Ok((most(|counts| counts.0), most(|counts| counts.1)))
}
