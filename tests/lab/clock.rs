//! A runner whose clock is wrong: the program uses AWS's time instead.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};

use crate::support::{LAB, Namespace, Runner};

/// Shifts the program's clock by this offset from now on. The clocks of the lab and of buildx stay right, and the
/// monotonic clock does not jump.
fn set_clock(runner: &mut Runner, offset: SignedDuration) -> Result<()> {
    let library = lab::faketime()?.to_string_lossy().into_owned();
    let seconds = format!("{:+}", offset.as_secs());
    for (name, value) in [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME", &seconds),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ] {
        runner.env.insert(name.into(), value.into());
    }
    Ok(())
}

/// Returns how long the credential is still valid for client-go, which compares it with the same machine's clock.
fn expires_in(runner: &Runner, kubeconfig: &Path, offset: SignedDuration) -> Result<SignedDuration> {
    let credential = runner.exec_credential(kubeconfig)?;
    let expires = credential["status"]["expirationTimestamp"].as_str();
    let expires: Timestamp = expires.context("no expiry")?.parse()?;
    Ok(expires.duration_since(Timestamp::now() + offset))
}

fn connects(name: &str, offset: SignedDuration, expected: &str) -> Result<()> {
    let _namespace = Namespace::new(name)?;
    let mut runner = Runner::new()?;
    set_clock(&mut runner, offset)?;
    let connected = runner.connect(&[("namespace", name)])?.ok()?;
    ensure!(connected.log.contains(expected), "{}", connected.log);
    runner.build("RUN echo built")?;
    let kubeconfig = Path::new(&connected.outputs["kubeconfig"]);
    let left = expires_in(&runner, kubeconfig, offset)?;
    ensure!(
        left > SignedDuration::from_mins(13) && left <= SignedDuration::from_mins(14),
        "the token is said to be good for {left}"
    );

    // The clock is corrected in the middle of the job.
    runner.env.remove("LD_PRELOAD");
    runner.build("RUN echo right")?;
    let left = expires_in(&runner, kubeconfig, SignedDuration::ZERO)?;
    ensure!(
        left > SignedDuration::from_mins(13) && left <= SignedDuration::from_mins(14),
        "the token is said to be good for {left}"
    );
    runner.disconnect()?.ok()?;

    // The default credential chain sends no request of its own, so the first request is a signed one: AWS rejects it,
    // and it is retried with AWS's time.
    let mut runner = Runner::new()?;
    runner.export_keys("ci")?;
    set_clock(&mut runner, offset)?;
    let inputs = [("cluster", LAB.cluster.as_str()), ("namespace", name)];
    let connected = runner.step(runner.connect_command_with_only(&inputs))?.ok()?;
    ensure!(connected.log.contains(expected), "{}", connected.log);
    ensure!(connected.log.contains("Retrying"), "{}", connected.log);
    runner.build("RUN echo again")?;
    Ok(())
}

#[test]
fn clock_is_ten_minutes_behind() -> Result<()> {
    let expected = "this machine's clock is 10 min behind AWS's; corrected";
    connects("behind", SignedDuration::from_mins(-10), expected)
}

#[test]
fn clock_is_ten_minutes_ahead() -> Result<()> {
    let expected = "this machine's clock is 10 min ahead of AWS's; corrected";
    connects("ahead", SignedDuration::from_mins(10), expected)
}

#[test]
fn correct_clock_is_not_adjusted() -> Result<()> {
    let _namespace = Namespace::new("on-time")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "on-time")])?.ok()?;
    ensure!(!connected.log.contains("clock"), "{}", connected.log);
    let session = Path::new(&connected.outputs["kubeconfig"]).with_file_name("session.json");
    let session: serde_json::Value = serde_json::from_slice(&std::fs::read(session)?)?;
    ensure!(session["clock"].is_null(), "{}", session["clock"]);
    Ok(())
}
