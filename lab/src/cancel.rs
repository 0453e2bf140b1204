//! SIGINT, SIGTERM and SIGHUP end a lab in order: they set a flag, every wait looks at it and fails,
//! and the failure unwinds through [`crate::Lab`], whose drop takes the lab down.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static SIGNAL: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Starts to catch the signals; without it they kill the process as usual.
pub fn watch() -> Result<()> {
    let flag = SIGNAL.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let value = usize::try_from(signal).context("signal numbers are positive")?;
        signal_hook::flag::register_usize(signal, Arc::clone(flag), value)
            .context("could not register a signal handler")?;
    }
    Ok(())
}

/// Fails once a signal has come.
pub fn check() -> Result<()> {
    match SIGNAL.get().map_or(0, |flag| flag.load(Ordering::Relaxed)) {
        0 => Ok(()),
        signal => bail!("stopped by signal {signal}"),
    }
}
