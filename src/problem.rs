//! Errors that a user can fix: what was tried, the answer, and what to do. The code that detects an error states all
//! three. It is printed once, in `main`.

use std::fmt;

use crate::error_code::ErrorCode;
use crate::report::bounded;

/// An error with its remedy. All other errors are an `anyhow::Error` with context.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Problem {
    /// The kind of the error, which has its title and its section in `docs/errors.md`.
    pub code: ErrorCode,
    /// One sentence: what was tried, and the answer.
    pub what: String,
    /// What to do. May contain an IAM policy statement or a command to copy.
    pub remedy: String,
}

impl Problem {
    pub fn new(code: ErrorCode, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl Problem {
    /// Returns the error with one more sentence.
    pub fn with_sentence(self, text: &str) -> Self {
        let what = format!("{} {text}", self.what);
        Self { what, ..self }
    }

    /// Returns the error without its title.
    pub fn text(&self) -> String {
        let Self { what, remedy, .. } = self;
        let what = bounded(what);
        if remedy.is_empty() {
            what.into_owned()
        } else {
            format!("{what}\n{remedy}")
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.title(), self.text())
    }
}

/// The remedy of an error that has none of its own.
pub const REPORT_IT: &str =
    "Run it again with `--verbose` (in a job: re-run with debug logging), and report it if it persists.";

/// Adds a sentence to an error.
pub fn annotate(error: anyhow::Error, text: String) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) => problem.with_sentence(&text).into(),
        Err(other) => other.context(text),
    }
}

/// Returns the error in one line.
pub fn in_one_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns an error and its causes in one line, without causes that only repeat the text before them.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
