//! Standard output of a step.
//!
//! A thread of its own writes it: a runner that is stuck and does not read shall hold up neither the deadline nor the
//! removal of what is secret.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Whether lines go to standard error.
static ASIDE: AtomicBool = AtomicBool::new(false);

/// From here on lines go to standard error, for a command whose standard output is read by a program.
pub fn aside() {
    ASIDE.store(true, Ordering::Relaxed);
}

enum Line {
    Text(String),
    /// Everything before it is written.
    Mark(Sender<()>),
}

static LINES: LazyLock<Sender<Line>> = LazyLock::new(|| {
    let (lines, written) = channel();
    std::thread::spawn(move || write(&written));
    lines
});

fn write(lines: &Receiver<Line>) {
    for line in lines {
        match line {
            Line::Text(text) => {
                // A closed log is no reason to fail.
                let _ = if ASIDE.load(Ordering::Relaxed) {
                    writeln!(std::io::stderr(), "{text}")
                } else {
                    now(&text)
                };
            }
            Line::Mark(passed) => {
                let _ = passed.send(());
            }
        }
    }
}

/// Writes a line, and has it written.
pub fn now(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

pub fn line(text: String) {
    let _ = LINES.send(Line::Text(text));
}

/// Waits until every line is written, but not for a reader that does not read.
pub fn finish() {
    let (passed, heard) = channel();
    let _ = LINES.send(Line::Mark(passed));
    let _ = heard.recv_timeout(FOR_A_READER);
}

const FOR_A_READER: Duration = Duration::from_secs(3);
