//! Runs work until it is done, a deadline passes or a signal arrives (from the runner, or Ctrl-C).

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::children;
use crate::error_code::ErrorCode;
use crate::problem::Problem;

/// Why work was interrupted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Interrupted {
    /// The signal's name.
    Signal(&'static str),
    Deadline,
}

/// Returns the error of a command that a signal stopped.
pub(super) fn stopped_by(signal: &str) -> Problem {
    Problem::new(ErrorCode::Interrupted, format!("stopped by {signal}"), "")
}

/// Runs a command's work on two threads. The Kubernetes client blocks one of them while a credential plugin of the
/// kubeconfig runs. The second thread keeps timers and signal handlers running meanwhile.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the asynchronous runtime")?;
    let done = runtime.block_on(work);
    if done.is_err() {
        children::end();
    }
    // Do not wait for a thread that may still be blocked by a plugin.
    runtime.shutdown_background();
    done
}

/// How long the request in progress may take after its deadline to end with its own, more specific error.
pub(super) const DEADLINE_GRACE: Duration = Duration::from_secs(1);

/// How long interrupted work may take to be dropped.
const ABORT_GRACE: Duration = Duration::from_millis(500);

/// Catches the signals that the launcher passes on, from `listen` on.
pub(super) struct Guard {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Guard {
    /// Starts to catch the signals.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("catching signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    /// Runs the work, and returns its result or what interrupted it. Interrupted work is dropped before this returns, unless
    /// it blocks its thread, so the caller can clean up without a race.
    pub(super) async fn run_until<T, W>(
        &mut self,
        work: W,
        deadline: Option<Instant>,
    ) -> Result<anyhow::Result<T>, Interrupted>
    where
        T: Send + 'static,
        W: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        let mut work = tokio::spawn(work);
        let timeout = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            done = &mut work => return Ok(done.context("the work ended by itself").flatten()),
            () = timeout => Interrupted::Deadline,
            _ = self.interrupt.recv() => Interrupted::Signal("SIGINT"),
            _ = self.terminate.recv() => Interrupted::Signal("SIGTERM"),
            _ = self.hang_up.recv() => Interrupted::Signal("SIGHUP"),
        };
        work.abort();
        let _ = tokio::time::timeout(ABORT_GRACE, work).await;
        Err(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_of_a_signal() {
        insta::assert_snapshot!(stopped_by("SIGTERM"));
    }
}
