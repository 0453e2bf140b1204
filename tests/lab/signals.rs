//! The runner stops a step, first with a signal.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use crate::support::{LAB, Namespace, Runner};

#[test]
fn signal_stops_connect_and_leaves_nothing() -> Result<()> {
    let _namespace = Namespace::new("signals")?;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut runner = Runner::new()?;
        let before = runner.tree()?;
        let image = format!("{}/no/such/image:1", LAB.registry);
        let name = format!("agent-{}", signal.as_raw());
        let inputs = [
            ("namespace", "signals"),
            ("name", &name),
            // Neither exists, so connect waits until it gets the signal.
            ("storage-class", "tape"),
            ("image", &image),
        ];
        let mut step = runner.start(runner.connect_command(&inputs))?;
        step.wait_for_line("deployed it")?;
        ensure!(runner.tree()?.len() > before.len(), "nothing to remove yet");
        step.signal(signal)?;
        let start = Instant::now();
        let outcome = runner.finish(step)?;
        // The runner waits 7.5 s before the next signal.
        ensure!(
            start.elapsed() < Duration::from_secs(7),
            "{signal:?} took {:?}",
            start.elapsed()
        );
        ensure!(outcome.code == Some(1), "{signal:?}: {outcome:?}");
        let left: Vec<_> = runner
            .tree()?
            .into_keys()
            .filter(|p| !before.contains_key(p))
            .collect();
        // What connect wrote to the runner's command files stays; they are in none of these directories.
        ensure!(left.is_empty(), "{signal:?} left {left:?}");
    }
    Ok(())
}
