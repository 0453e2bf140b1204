//! What a user can mend: what was tried, what came back, what to do. Whoever detects it states all three;
//! it is rendered once, in `main`.

use std::fmt;

use crate::error_code::ErrorCode;
use crate::report::bounded;

/// An error with its remedy. Everything else is an `anyhow::Error` with context.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Problem {
    /// What kind of error it is: its title, and its section in `docs/errors.md`.
    pub code: ErrorCode,
    /// One sentence: what was asked of whom, and the answer.
    pub what: String,
    /// What to do about it; may hold a statement or a command to copy.
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
    /// All but the title.
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

/// Adds a sentence to an error.
pub fn annotate(error: anyhow::Error, text: String) -> anyhow::Error {
    match error.downcast::<Problem>() {
        Ok(problem) => {
            let what = format!("{} {text}", problem.what);
            Problem { what, ..problem }.into()
        }
        Err(other) => other.context(text),
    }
}

/// An error for whoever shows one line of it.
pub fn in_one_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ")
}

/// An error and its causes in one line, without a cause that only repeats its parent.
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
