//! The runner ends a step: with a signal first.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{LAB, Namespace, Runner, role};

#[test]
fn a_signal_ends_connect_and_nothing_is_left() -> Result<()> {
    let _namespace = Namespace::new("signals")?;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let runner = Runner::new()?;
        let before = runner.tree()?;
        let image = format!("{}/no/such/image:1", LAB.registry);
        let name = format!("agent-{}", signal.as_raw());
        let mut command = runner.connect_command(&[
            ("cluster", &LAB.cluster),
            ("role-to-assume", &role("ci")),
            ("namespace", "signals"),
            ("name", &name),
            // Never there: connect waits until it is told.
            ("storage-class", "tape"),
            ("image", &image),
        ]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
        lines
            .find(|line| line.as_ref().is_ok_and(|l| l.contains("is deployed")))
            .context("connect ended by itself")??;
        ensure!(runner.tree()?.len() > before.len(), "nothing to remove yet");
        let pid = Pid::from_raw(i32::try_from(child.id())?).context("a pid")?;
        kill_process(pid, signal)?;
        let start = Instant::now();
        let status = child.wait()?;
        // The runner waits 7.5 s before the next signal.
        ensure!(
            start.elapsed() < Duration::from_secs(7),
            "{signal:?} took {:?}",
            start.elapsed()
        );
        ensure!(status.code() == Some(1), "{signal:?}: {status}");
        let left: Vec<_> = runner
            .tree()?
            .into_keys()
            .filter(|p| !before.contains_key(p))
            .collect();
        // What connect told the runner through its files stays, and is in none of these folders.
        ensure!(left.is_empty(), "{signal:?} left {left:?}");
    }
    Ok(())
}
