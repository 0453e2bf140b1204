//! Writes the output of a step.
//!
//! A separate thread writes it, so that a runner that does not read it delays neither the deadline nor the removal of
//! secrets.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Whether lines go to standard error.
static USE_STDERR: AtomicBool = AtomicBool::new(false);

/// Sends all further lines to standard error, for a command whose standard output is read by a program.
pub fn use_stderr() {
    USE_STDERR.store(true, Ordering::Relaxed);
}

/// A message to the thread that writes.
enum Message {
    Line(String),
    /// Asks for an answer as soon as all earlier lines are written.
    Flush(Sender<()>),
}

static MESSAGES: LazyLock<Sender<Message>> = LazyLock::new(|| {
    let (sender, receiver) = channel();
    std::thread::spawn(move || write(&receiver));
    sender
});

/// Writes every line until the program ends.
fn write(messages: &Receiver<Message>) {
    for message in messages {
        match message {
            Message::Line(text) => {
                // A closed log does not fail the step.
                let _ = if USE_STDERR.load(Ordering::Relaxed) {
                    writeln!(std::io::stderr(), "{text}")
                } else {
                    write_now(&text)
                };
            }
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// Writes a line to standard output and flushes it, in the calling thread.
pub fn write_now(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Queues a line for the thread that writes.
pub fn line(text: String) {
    let _ = MESSAGES.send(Message::Line(text));
}

/// Waits until every queued line is written, but only for a few seconds if the reader hangs.
pub fn finish() {
    let (done, flushed) = channel();
    let _ = MESSAGES.send(Message::Flush(done));
    let _ = flushed.recv_timeout(FLUSH_TIMEOUT);
}

/// How long to wait for a reader of the output.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
