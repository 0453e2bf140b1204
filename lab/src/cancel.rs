//! Stops a lab cleanly on SIGINT, SIGTERM and SIGHUP: they set a flag, every wait checks it and fails, and the error unwinds
//! through [`crate::Lab`], whose drop stops the lab.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Installs the signal handlers. Without them the signals kill the process.
pub fn watch() -> Result<()> {
    let flag = SIGNAL.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(signal).context("signal numbers are positive")?;
        signal_hook::flag::register_usize(signal, Arc::clone(flag), value)
            .context("could not register a signal handler")?;
    }
    Ok(())
}

/// Returns an error if a signal was received.
pub fn check() -> Result<()> {
    match SIGNAL.get().map_or(0, |flag| flag.load(Ordering::Relaxed)) {
        0 => Ok(()),
        signal => bail!("stopped by signal {signal}"),
    }
}
