//! Prints progress and results for the user. The debug log is separate (`trace`).
//!
//! In a job's log the lines of a long wait and of a difference are groups, which GitHub folds. The line of the finished
//! step, with its seconds, follows the group. Outside of a job, inputs in backticks are printed as flags.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use anyhow::Context;

use crate::{cli, color, env, output};

/// Prints each step with the seconds that it took. Clones share their state, so that one can be read while another works.
#[derive(Debug, Clone)]
pub struct Report {
    since: Arc<Mutex<Instant>>,
    last: Arc<Mutex<Option<String>>>,
}

impl Report {
    /// Returns a report whose first step starts now.
    pub fn start() -> Self {
        Self {
            since: Arc::new(Mutex::new(Instant::now())),
            last: Arc::default(),
        }
    }

    /// Returns the same report with its own clock, for a step that runs concurrently.
    pub fn fork(&self) -> Self {
        Self {
            since: Arc::new(Mutex::new(Instant::now())),
            last: self.last.clone(),
        }
    }

    /// Returns the last finished step, if there is one.
    pub fn last(&self) -> Option<String> {
        self.last.lock().ok()?.clone()
    }

    /// Prints that a step is finished, with its seconds. The next step starts now.
    pub fn done(&self, what: &str) {
        // Another thread's panic poisons the lock, and that panic is reported.
        if let (Ok(mut since), Ok(mut last)) = (self.since.lock(), self.last.lock()) {
            progress(Progress::Step(&format!(
                "{what} ({:.2} s)",
                since.elapsed().as_secs_f64()
            )));
            *last = Some(what.to_owned());
            *since = Instant::now();
        }
    }

    /// Prints a detail of the current step.
    pub fn detail(what: &str) {
        progress(Progress::Detail(&format!("  {what}")));
    }

    /// Prints the difference that an update makes. Only workflow commands in it are changed. In a job it is a group.
    pub fn difference(diff: &str) {
        for line in diff.lines() {
            progress(Progress::Difference(&format!("  {line}")));
        }
    }

    /// Prints the state of the agent that the program waits for. In a job these lines are a group.
    pub fn waiting(what: &str) {
        progress(Progress::Waiting(&format!("  {what}")));
    }

    /// Prints that a request is retried: `<error> Retrying in <seconds>`. On a terminal the line replaces the previous
    /// one of this kind. Elsewhere, an error is printed only once if it repeats.
    pub fn retry(what: &str) {
        progress(Progress::Retry(&format!("  {what}")));
    }
}

/// A line of progress.
enum Progress<'a> {
    Step(&'a str),
    Detail(&'a str),
    Difference(&'a str),
    Waiting(&'a str),
    Retry(&'a str),
}

impl Progress<'_> {
    /// Returns the title of the group to which the line belongs. It names no agent, because the program may wait for
    /// several at the same time.
    fn group(&self) -> Option<&'static str> {
        match self {
            Self::Difference(_) => Some("Changes to the agent"),
            Self::Waiting(_) => Some("Waiting for the agent"),
            Self::Step(_) | Self::Detail(_) | Self::Retry(_) => None,
        }
    }
}

/// The state of the log, on which the next line depends.
#[derive(Default)]
struct LogState {
    /// The title of the open group.
    group: Option<&'static str>,
    /// The last line, if it reports a retry.
    retry: Option<String>,
}

static LOG: Mutex<LogState> = Mutex::new(LogState {
    group: None,
    retry: None,
});

/// Whether progress is turned off.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Turns progress off: steps, details and retries.
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

static IN_JOB: LazyLock<bool> = LazyLock::new(env::in_job);

fn progress(line: Progress<'_>) {
    if QUIET.load(Ordering::Relaxed) {
        return;
    }
    // Another thread's panic poisons the lock, and that panic is reported.
    let Ok(mut log) = LOG.lock() else { return };
    // Debug lines go to the same terminal, and the line above may be one of them.
    let terminal = std::io::stdout().is_terminal() && !tracing::enabled!(tracing::Level::DEBUG);
    for text in log.lines(&line, *IN_JOB, terminal) {
        command(color::of_stdout(&text).into_owned());
    }
}

impl LogState {
    /// Returns the lines to print for a line of progress.
    fn lines(&mut self, line: &Progress<'_>, in_job: bool, terminal: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let text = match line {
            Progress::Difference(text) => Cow::Borrowed(*text),
            Progress::Step(text)
            | Progress::Detail(text)
            | Progress::Waiting(text)
            | Progress::Retry(text) => cli::for_reader(text),
        };
        let mut text = without_commands(&bounded(&text));
        let group = line.group().filter(|_| in_job);
        // A retry is part of what is going on, and so of the open group.
        if group != self.group && !matches!(line, Progress::Retry(_)) {
            lines.extend(self.end_group());
            lines.extend(group.map(|title| format!("::group::{title}")));
            self.group = group;
        }
        if let Progress::Retry(_) = line {
            let previous = self.retry.replace(text.clone());
            if let Some(previous) = previous {
                if terminal {
                    text = format!("\x1b[{}A\x1b[J{text}", rows(&previous));
                } else if error_of(&previous) == error_of(&text) {
                    return lines;
                }
            }
        } else {
            self.retry = None;
        }
        lines.push(text);
        lines
    }

    fn end_group(&mut self) -> Option<String> {
        self.group.take().map(|_| "::endgroup::".into())
    }
}

/// Returns the number of rows that a line takes on this terminal.
fn rows(line: &str) -> usize {
    let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    let rows = |line: &str| line.chars().count().div_ceil(width.max(1)).max(1);
    line.split('\n').map(rows).sum()
}

/// Returns the error in a line that reports a retry.
fn error_of(line: &str) -> &str {
    line.rsplit_once(" Retrying in ").map_or(line, |(error, _)| error)
}

/// Ends the group that is open, if any.
pub fn end_group() {
    if let Ok(mut log) = LOG.lock() {
        log.retry = None;
        if let Some(line) = log.end_group() {
            command(line);
        }
    }
}

/// Prints a result or a message to standard output.
pub fn say(text: &str) {
    end_group();
    let text = without_commands(&bounded(&cli::for_reader(text)));
    command(color::of_stdout(&text).into_owned());
}

/// Prints a line unchanged, in order with the other lines: a workflow command.
pub fn command(text: String) {
    output::line(text);
}

/// Prints the result of a command, which a program may read. The text is unchanged, and is written when this returns. A
/// reader that closes the pipe early, such as `head`, is not an error.
pub fn print_raw(text: &str) -> anyhow::Result<()> {
    match output::write_now(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

/// The maximum length of a printed text. A response of a cluster can be megabytes in one line.
const MAX_LENGTH: usize = 4000;

/// Returns the text, shortened to its beginning and its end if it is too long. It is never cut within a word: the runner
/// masks only complete secrets.
pub fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_LENGTH {
        return text.into();
    }
    let (head, tail) = (
        &text.as_bytes()[..MAX_LENGTH / 2],
        &text.as_bytes()[text.len() - MAX_LENGTH / 2..],
    );
    let head = head.iter().rposition(u8::is_ascii_whitespace).unwrap_or(0);
    let tail = tail
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(tail.len());
    let tail = text.len() - MAX_LENGTH / 2 + tail;
    // A byte of ASCII whitespace is never part of another character.
    let (head, tail) = (&text[..head], &text[tail.min(text.len())..]);
    let left_out = text.len() - head.len() - tail.len();
    format!("{head} … ({left_out} bytes left out) …{tail}").into()
}

/// Returns the text with every workflow command in it disabled, because text from a cluster or a server must not become a
/// command. A command is `::` at the start of a line, with or without spaces before it, or `##[` anywhere in the
/// line (actions/runner, ActionCommand.cs). A carriage return ends a line, too. An inserted space is enough and is
/// visible. `::stop-commands::` would have to be lifted for each of our commands, and would stay on if this program were
/// killed.
fn without_commands(text: &str) -> String {
    let lines = text.split_inclusive(['\n', '\r']).map(|line| {
        let words = line.trim_start();
        match words.strip_prefix("::") {
            Some(rest) => format!("{}: :{rest}", &line[..line.len() - words.len()]),
            None => line.to_owned(),
        }
    });
    lines.collect::<String>().replace("##[", "## [")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_does_not_become_a_workflow_command() {
        for (text, printed) in [
            ("::error::x", ": :error::x"),
            ("  ::add-mask::x", "  : :add-mask::x"),
            (
                "\t\u{a0}::set-output name=a::b",
                "\t\u{a0}: :set-output name=a::b",
            ),
            (
                "a\n ::error::x\r::debug::y\r\n::z",
                "a\n : :error::x\r: :debug::y\r\n: :z",
            ),
            ("pod: ##[error]x", "pod: ## [error]x"),
            (":::error::", ": ::error::"),
            ("std::fmt is at [::1]:80\n", "std::fmt is at [::1]:80\n"),
            ("", ""),
        ] {
            assert_eq!(without_commands(text), printed, "{text:?}");
        }
    }

    #[test]
    fn long_text_is_cut_between_words() {
        let short = "word ".repeat(MAX_LENGTH / 5);
        assert_eq!(bounded(&short), short);
        let long = format!("first {} last", "secret-é ".repeat(MAX_LENGTH));
        let cut = bounded(&long);
        assert!(cut.len() < MAX_LENGTH + 50, "{}", cut.len());
        assert!(cut.starts_with("first secret-é ") && cut.ends_with(" secret-é  last"));
        let words = |word: &str| ["first", "last", "secret-é"].contains(&word);
        let (head, tail) = cut.split_once(" … (").expect("cut");
        assert!(head.split(' ').all(words), "{head}");
        let (left_out, tail) = tail.split_once(" bytes left out) …").expect("cut");
        assert!(tail.split_whitespace().all(words), "{tail}");
        assert_eq!(left_out.parse(), Ok(long.len() - head.len() - tail.len()));
        let one_word = "é".repeat(MAX_LENGTH);
        assert_eq!(
            bounded(&one_word),
            format!(" … ({} bytes left out) …", one_word.len())
        );
    }

    #[test]
    fn a_difference_and_a_wait_are_groups_in_a_job() {
        let mut log = LogState::default();
        let mut printed = Vec::new();
        for line in [
            Progress::Step("Signed in (0.10 s)"),
            Progress::Detail("  with the default StorageClass"),
            Progress::Difference("  -  replicas: 0"),
            Progress::Difference("  +  replicas: 1"),
            Progress::Waiting("  pod a is pending"),
            Progress::Retry("  The connection was closed. Retrying in 1 s"),
            Progress::Waiting("  ::error::from the cluster"),
            Progress::Step("Agent is ready (9.00 s)"),
        ] {
            printed.extend(log.lines(&line, true, false));
        }
        assert_eq!(
            printed,
            [
                "Signed in (0.10 s)",
                "  with the default StorageClass",
                "::group::Changes to the agent",
                "  -  replicas: 0",
                "  +  replicas: 1",
                "::endgroup::",
                "::group::Waiting for the agent",
                "  pod a is pending",
                "  The connection was closed. Retrying in 1 s",
                "  : :error::from the cluster",
                "::endgroup::",
                "Agent is ready (9.00 s)",
            ]
        );
        assert_eq!(
            LogState::default().lines(&Progress::Waiting("  x"), false, false),
            ["  x"]
        );
    }

    #[test]
    fn a_difference_keeps_its_words() {
        let line = "+    note: set `name` and `storage: 50Gi`";
        assert_eq!(
            LogState::default().lines(&Progress::Difference(line), false, false),
            [line]
        );
    }

    #[test]
    fn a_repeated_retry_is_one_line() {
        let retries = [
            "503. Retrying in 0.1 s.",
            "503. Retrying in 0.2 s.",
            "429. Retrying in 0.4 s.",
        ];
        let mut log = LogState::default();
        let printed: Vec<String> = retries
            .iter()
            .flat_map(|line| log.lines(&Progress::Retry(line), false, false))
            .collect();
        assert_eq!(printed, [retries[0], retries[2]]);
        let mut log = LogState::default();
        let printed: Vec<String> = retries
            .iter()
            .flat_map(|line| log.lines(&Progress::Retry(line), false, true))
            .collect();
        assert_eq!(printed[1], format!("\x1b[1A\x1b[J{}", retries[1]));
    }
}
