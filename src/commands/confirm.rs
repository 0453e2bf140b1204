//! What commands for people share: a question, and a deadline for the requests before and after it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::guard::{self, DEADLINE_GRACE, Guard, Interrupted};
use crate::error_code::ErrorCode;
use crate::output;
use crate::problem::Problem;
use crate::report::Report;
use crate::retry::Retrier;

/// Runs requests until they are done, the timeout has passed, or a signal arrives. A person's answer takes as long as it
/// takes, so what follows a question begins with a new deadline. `command` is for the error.
pub(super) async fn with_deadline<T, W>(
    guard: &mut Guard,
    command: &str,
    timeout: Duration,
    work: impl FnOnce(Retrier) -> W,
) -> anyhow::Result<T>
where
    T: Send + 'static,
    W: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let deadline = Instant::now() + timeout;
    let retrier = Retrier::new(deadline, Report::retry);
    let work = work(retrier.clone());
    match guard.run_until(work, Some(deadline + DEADLINE_GRACE)).await {
        Ok(done) => done,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => Err(timed_out(command, timeout, retrier.last_error()).into()),
    }
}

/// Returns the error when a request did not end by itself.
fn timed_out(command: &str, timeout: Duration, last_error: Option<Problem>) -> Problem {
    let what = format!(
        "{command} was stopped after its timeout of {} s.",
        timeout.as_secs()
    );
    match last_error {
        Some(last_error) => Problem::new(
            ErrorCode::TimedOut,
            format!("{what} The last error: {}", last_error.what),
            last_error.remedy,
        ),
        None => Problem::new(
            ErrorCode::TimedOut,
            format!("{what} No response came in that time."),
            "Check that this machine can reach AWS and the cluster, and that the credential plugin of the kubeconfig \
             ends; or raise `timeout`.",
        ),
    }
}

/// A question that a person answers with yes or no.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) text: &'static str,
    /// A sentence without its end: what asks, and when.
    pub(super) asks: &'static str,
    /// The flag that answers it.
    pub(super) flag: &'static str,
}

/// Asks until a signal arrives.
pub(super) async fn ask(guard: &mut Guard, question: Question) -> anyhow::Result<bool> {
    match guard.run_until(confirmed(question), None).await {
        Ok(answer) => answer,
        Err(Interrupted::Signal(name)) => Err(guard::stopped_by(name).into()),
        Err(Interrupted::Deadline) => Ok(false),
    }
}

/// Asks, as kubectl and apt do. Without a terminal, the flag is required.
async fn confirmed(question: Question) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(confirmation_required(question).into());
    }
    output::finish();
    let mut output = std::io::stdout();
    write!(output, "{} [y/N] ", question.text)?;
    output.flush()?;
    // Reading blocks, and Ctrl-C must still work.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await?.context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Returns the error when nobody can answer a question.
fn confirmation_required(question: Question) -> Problem {
    Problem::new(
        ErrorCode::ConfirmationRequired,
        format!("{}, and standard input is not a terminal.", question.asks),
        format!("Run it in a terminal, or add `{}`.", question.flag),
    )
}
