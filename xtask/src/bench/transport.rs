//! Measures how long a large build context takes: through the API server, and over the daemon's own socket.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lab::State;

use super::alternatives::Runner;
use super::measure::{Sample, median};

/// The size of the context in megabytes.
const MEGABYTES: u64 = 400;

const CONTEXT: &str = "large-context";

pub(crate) fn run(state: &State, binary: &Path, runs: usize) -> Result<()> {
    let runner = Runner::new(state, binary)?;
    runner.connect()?;
    let direct = runner.with_socket(&daemon_socket()?)?;
    std::fs::create_dir(runner.at(CONTEXT))?;
    let mut exec = Vec::new();
    let mut socket = Vec::new();
    for _ in 0..runs {
        write_context(&runner.at(CONTEXT))?;
        exec.push(runner.build(CONTEXT)?);
        write_context(&runner.at(CONTEXT))?;
        socket.push(direct.build(CONTEXT)?);
    }
    println!("\nbuild with a context of {MEGABYTES} MB, medians of {runs} runs");
    for (name, samples) in [("exec", &exec), ("the daemon's socket", &socket)] {
        let seconds = median(samples.iter().map(|sample: &Sample| sample.wall));
        println!(
            "{name:24} {seconds:6.2} s   {:6.1} MB/s",
            MEGABYTES as f64 / seconds
        );
    }
    Ok(())
}

/// Writes a context of new random content. buildx sends only what differs from the context of the previous build.
fn write_context(dir: &Path) -> Result<()> {
    std::fs::write(dir.join("Dockerfile"), "FROM scratch\nCOPY file /file\n")?;
    let mut random = File::open("/dev/urandom")?.take(MEGABYTES * 1_000_000);
    std::io::copy(&mut random, &mut File::create(dir.join("file"))?)?;
    Ok(())
}

/// Returns the path of the socket of the only daemon on this machine, in the file system of its container.
fn daemon_socket() -> Result<PathBuf> {
    let mut sockets = Vec::new();
    for process in std::fs::read_dir("/proc")? {
        let process = process?.path();
        let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        let socket = process.join("root/run/buildkit/buildkitd.sock");
        if name.trim() == "buildkitd" && socket.exists() {
            sockets.push(socket);
        }
    }
    match sockets.len() {
        0 | 1 => sockets
            .pop()
            .context("no buildkitd with a socket runs on this machine"),
        several => bail!("{several} buildkitd run on this machine; this measures the only one"),
    }
}
