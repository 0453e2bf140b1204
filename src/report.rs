//! What a user reads while it runs.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;

use crate::output;

/// Prints each step with the seconds it took. Clones are one report: one may be asked while another works. Not to be
/// confused with the debug log.
#[derive(Debug, Clone)]
pub struct Report {
    since: Arc<Mutex<Instant>>,
    last: Arc<Mutex<String>>,
}

impl Report {
    pub fn start() -> Self {
        Self {
            since: Arc::new(Mutex::new(Instant::now())),
            last: Arc::new(Mutex::new("none".into())),
        }
    }

    /// The same report, for what goes on beside it: with a clock of its own.
    pub fn beside(&self) -> Self {
        Self {
            since: Arc::new(Mutex::new(Instant::now())),
            last: self.last.clone(),
        }
    }

    /// How far it has come.
    pub fn last(&self) -> String {
        self.last.lock().map(|last| last.clone()).unwrap_or_default()
    }

    /// A step is done.
    pub fn done(&self, what: &str) {
        // A lock is lost only by a panic elsewhere, and that is what will be reported.
        if let (Ok(mut since), Ok(mut last)) = (self.since.lock(), self.last.lock()) {
            say(&format!("{what} ({:.2} s)", since.elapsed().as_secs_f64()));
            what.clone_into(&mut last);
            *since = Instant::now();
        }
    }

    /// A line below the step under way.
    pub fn detail(what: &str) {
        say(&format!("  {what}"));
    }
}

/// To standard output.
pub fn say(text: &str) {
    command(harmless(&bounded(text)));
}

/// As it is, in its place among the other lines: a command of the runner.
pub fn command(text: String) {
    output::line(text);
}

/// As it is, and written when this returns: what a command was called for, and a program may read. A reader that has
/// seen enough, such as `head`, is no reason to fail.
pub fn verbatim(text: &str) -> anyhow::Result<()> {
    match output::now(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("writing to standard output")
        }
        _ => Ok(()),
    }
}

/// What a cluster says may be megabytes, in one line.
const LONGEST: usize = 4000;

/// The text, or its beginning and its end. Never cut within a word: the runner hides a secret only where it is whole.
pub fn bounded(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let (head, tail) = (
        &text.as_bytes()[..LONGEST / 2],
        &text.as_bytes()[text.len() - LONGEST / 2..],
    );
    let head = head.iter().rposition(u8::is_ascii_whitespace).unwrap_or(0);
    let tail = tail
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(tail.len());
    let tail = text.len() - LONGEST / 2 + tail;
    // Whitespace of ASCII is never within a character.
    let (head, tail) = (&text[..head], &text[tail.min(text.len())..]);
    let left_out = text.len() - head.len() - tail.len();
    format!("{head} … ({left_out} bytes left out) …{tail}").into()
}

/// The text, with nothing in it that the runner would take for a command of ours: what a cluster or a server says is
/// not ours. A command is `::` at the start of a line, after spaces or not, or `##[` anywhere in it (actions/runner,
/// ActionCommand.cs), and lines end at a carriage return, too. A space in between is enough and is seen;
/// `::stop-commands::` would have to be lifted for each command of ours, and would stay if this program were killed.
fn harmless(text: &str) -> String {
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
    fn no_text_is_a_command() {
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
            assert_eq!(harmless(text), printed, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_words() {
        let short = "word ".repeat(LONGEST / 5);
        assert_eq!(bounded(&short), short);
        let long = format!("first {} last", "secret-é ".repeat(LONGEST));
        let cut = bounded(&long);
        assert!(cut.len() < LONGEST + 50, "{}", cut.len());
        assert!(cut.starts_with("first secret-é ") && cut.ends_with(" secret-é  last"));
        let words = |word: &str| ["first", "last", "secret-é"].contains(&word);
        let (head, tail) = cut.split_once(" … (").expect("cut");
        assert!(head.split(' ').all(words), "{head}");
        let (left_out, tail) = tail.split_once(" bytes left out) …").expect("cut");
        assert!(tail.split_whitespace().all(words), "{tail}");
        assert_eq!(left_out.parse(), Ok(long.len() - head.len() - tail.len()));
        let one_word = "é".repeat(LONGEST);
        assert_eq!(
            bounded(&one_word),
            format!(" … ({} bytes left out) …", one_word.len())
        );
    }
}
