//! What a user reads while it runs.

use std::sync::{Arc, Mutex};
use std::time::Instant;

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
            last: Arc::new(Mutex::new("nothing was done yet".into())),
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

/// To standard output; a closed log is no reason to fail.
pub fn say(text: &str) {
    verbatim(&harmless(text));
}

/// As it is: commands of the runner, and output that a program reads.
pub fn verbatim(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{text}");
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
}
