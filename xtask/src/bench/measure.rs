//! Measures a run of a command: its time, processor time and memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Elapsed seconds.
    pub(crate) wall: f64,
    /// User and system processor seconds of the process and its children.
    pub(crate) cpu: f64,
    /// The peak of its memory, if the process ran long enough to read it.
    pub(crate) peak_mib: Option<f64>,
}

/// Runs a command and measures it; an error if it fails.
pub(crate) fn measure(command: &mut Command) -> Result<Sample> {
    let before = children()?;
    let start = Instant::now();
    let log = tempfile::tempfile()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .spawn()
        .with_context(|| format!("could not start {}", name(command)))?;
    let mut peak_mib = None;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak_mib = high_water(child.id()).or(peak_mib);
        std::thread::sleep(Duration::from_micros(200));
    };
    let wall = start.elapsed().as_secs_f64();
    ensure!(status.success(), "{} failed: {}", name(command), said(log)?);
    Ok(Sample {
        wall,
        cpu: children()? - before,
        peak_mib,
    })
}

/// Returns the command line without the environment, which contains keys.
fn name(command: &Command) -> String {
    format!(
        "{:?} {:?}",
        command.get_program(),
        command.get_args().collect::<Vec<_>>()
    )
}

fn said(mut log: std::fs::File) -> Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut text = Vec::new();
    log.rewind()?;
    log.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Returns the processor seconds of all children that were waited for so far.
fn children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

fn high_water(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024.0)
}

pub(crate) fn repeat(runs: usize, mut run: impl FnMut(usize) -> Result<Sample>) -> Result<Vec<Sample>> {
    (0..runs).map(&mut run).collect()
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
