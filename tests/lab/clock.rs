//! A runner whose clock is off: AWS's is asked.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};

use crate::support::{LAB, Namespace, Runner};

/// The program's clock from here on. The lab's and buildx's stay right; the monotonic clock never jumps.
fn show(runner: &mut Runner, off: SignedDuration) -> Result<()> {
    let library = lab::faketime()?.to_string_lossy().into_owned();
    let seconds = format!("{:+}", off.as_secs());
    for (name, value) in [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", &seconds),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        runner.env.insert(name.into(), value.into());
    }
    Ok(())
}

/// What client-go compares with the clock of the machine that both run on.
fn expires_in(runner: &Runner, kubeconfig: &Path, off: SignedDuration) -> Result<SignedDuration> {
    let credential = runner.exec_credential(kubeconfig)?;
    let expires = credential["status"]["expirationTimestamp"].as_str();
    let expires: Timestamp = expires.context("no expiry")?.parse()?;
    Ok(expires.duration_since(Timestamp::now() + off))
}

fn connects(name: &str, off: SignedDuration, said: &str) -> Result<()> {
    let _namespace = Namespace::new(name)?;
    let mut runner = Runner::new()?;
    show(&mut runner, off)?;
    let connected = runner.connect(&[("namespace", name)])?.ok()?;
    ensure!(connected.log.contains(said), "{}", connected.log);
    runner.build("RUN echo built")?;
    let kubeconfig = Path::new(&connected.outputs["kubeconfig"]);
    let left = expires_in(&runner, kubeconfig, off)?;
    ensure!(
        left > SignedDuration::from_mins(13) && left <= SignedDuration::from_mins(14),
        "the token is said to be good for {left}"
    );

    // Somebody puts the clock right in the middle of the job.
    runner.env.remove("LD_PRELOAD");
    runner.build("RUN echo right")?;
    let left = expires_in(&runner, kubeconfig, SignedDuration::ZERO)?;
    ensure!(
        left > SignedDuration::from_mins(13) && left <= SignedDuration::from_mins(14),
        "the token is said to be good for {left}"
    );
    runner.disconnect()?.ok()?;

    // The default chain asks nobody, so the first call is signed: it is refused, and asked again.
    let mut runner = Runner::new()?;
    runner.export_keys("ci")?;
    show(&mut runner, off)?;
    let inputs = [("cluster", LAB.cluster.as_str()), ("namespace", name)];
    let connected = runner.connect_with_only(&inputs)?.ok()?;
    ensure!(connected.log.contains(said), "{}", connected.log);
    ensure!(connected.log.contains("Retrying"), "{}", connected.log);
    runner.build("RUN echo again")?;
    Ok(())
}

#[test]
fn a_clock_ten_minutes_behind() -> Result<()> {
    let said = "this machine's clock is 10 min behind AWS's; corrected";
    connects("behind", SignedDuration::from_mins(-10), said)
}

#[test]
fn a_clock_ten_minutes_ahead() -> Result<()> {
    let said = "this machine's clock is 10 min ahead of AWS's; corrected";
    connects("ahead", SignedDuration::from_mins(10), said)
}

#[test]
fn a_clock_that_is_right_is_left_alone() -> Result<()> {
    let _namespace = Namespace::new("on-time")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "on-time")])?.ok()?;
    ensure!(!connected.log.contains("clock"), "{}", connected.log);
    let session = Path::new(&connected.outputs["kubeconfig"]).with_file_name("session.json");
    let session: serde_json::Value = serde_json::from_slice(&std::fs::read(session)?)?;
    ensure!(session["clock"].is_null(), "{}", session["clock"]);
    Ok(())
}
