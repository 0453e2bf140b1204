//! Work that a signal ends, or a deadline: the runner, or Ctrl-C, wants us to end.

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::children;

/// Why work was ended from outside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ended {
    /// Its name.
    Signal(&'static str),
    Deadline,
}

/// Runs a command's work. Two threads: the client runs a plugin of the kubeconfig and blocks one until the plugin has
/// answered. The other goes on turning the clock, so that the deadline and signals end the step all the same.
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
    // A thread may wait for an answer that never comes.
    runtime.shutdown_background();
    done
}

/// Work that waits lets go at once.
const LETTING_GO: Duration = Duration::from_millis(500);

/// The signals that the launcher passes on, caught from `listen` on.
pub(super) struct Guard {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Guard {
    pub(super) fn listen() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("catching signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: catch(SignalKind::hangup())?,
        })
    }

    /// What became of the work, or why it had no time to end. It has ended then, unless it blocks its thread: whoever
    /// cleans up after it is alone.
    pub(super) async fn over<T, W>(
        &mut self,
        work: W,
        deadline: Option<Instant>,
    ) -> Result<anyhow::Result<T>, Ended>
    where
        T: Send + 'static,
        W: Future<Output = anyhow::Result<T>> + Send + 'static,
    {
        let mut work = tokio::spawn(work);
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            done = &mut work => return Ok(done.context("the work ended by itself").flatten()),
            () = late => Ended::Deadline,
            _ = self.interrupt.recv() => Ended::Signal("SIGINT"),
            _ = self.terminate.recv() => Ended::Signal("SIGTERM"),
            _ = self.hang_up.recv() => Ended::Signal("SIGHUP"),
        };
        work.abort();
        let _ = tokio::time::timeout(LETTING_GO, work).await;
        Err(ended)
    }
}
