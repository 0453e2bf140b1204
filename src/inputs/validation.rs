//! The errors of invalid values, and values that several commands have.

use std::borrow::Cow;
use std::time::Duration;

use super::lists::ListError;
use crate::agent::buildkitd::{ConfigError, ConfigErrors, MirrorError};
use crate::agent::patch::{PatchError, PatchPlace};
use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::secret::hide_user_info;

/// Collects all invalid values, so that one run reports them together.
#[derive(Debug, Default)]
pub(super) struct ValidationErrors(pub(super) Vec<String>);

impl ValidationErrors {
    /// Adds an error: the input, its value and what is allowed.
    pub(super) fn add(&mut self, input: &str, value: &str, allowed: &str) {
        let shown = without_credentials(value);
        self.0.push(match &*shown {
            "" => format!("`{input}`: {allowed}"),
            shown => format!("`{input}: {shown}`: {allowed}"),
        });
    }

    /// Adds the errors of a value that may have several lines and contain secrets. Of several lines, only those with an
    /// error are shown.
    pub(super) fn add_text(&mut self, input: &str, text: &str, errors: TextErrors) {
        let is_one_line = text.trim().lines().count() <= 1;
        for TextError { line, message } in errors.0 {
            let index = line.and_then(|line| line.checked_sub(1));
            match index.and_then(|index| text.lines().nth(index)) {
                _ if is_one_line => self.add(input, text.trim(), &message),
                Some(line) => self.add(input, line.trim(), &message),
                None => self.0.push(format!("`{input}`: {message}")),
            }
        }
    }

    /// Adds an error unless the value is valid.
    pub(super) fn check(&mut self, ok: bool, input: &str, value: &str, allowed: &str) {
        if !ok {
            self.add(input, value, allowed);
        }
    }

    /// Returns the value if there are no errors, or else all of them.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.problem()),
        }
    }

    fn problem(&self) -> Problem {
        // The annotation of a job links to the documentation.
        let remedy = if env::in_job() {
            "Correct these inputs. Nothing was contacted or changed."
        } else {
            "Correct these flags. Nothing was contacted or changed. For valid values, see remote-buildkit COMMAND --help."
        };
        let what = format!("These values are not valid:\n- {}", self.0.join("\n- "));
        Problem::new(ErrorCode::InvalidInput, what, remedy)
    }
}

/// The errors that a parser found in a text.
#[derive(Debug)]
pub(super) struct TextErrors(Vec<TextError>);

/// An error in a text.
#[derive(Debug)]
struct TextError {
    /// The number of its line, from 1; `None` if the error is not about one line.
    line: Option<usize>,
    message: String,
}

impl TextErrors {
    /// Returns an error that is not about one line.
    pub(super) fn without_line(message: impl Into<String>) -> Self {
        Self::at_line(None, message)
    }

    fn at_line(line: Option<usize>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(vec![TextError { line, message }])
    }
}

impl From<ListError> for TextErrors {
    fn from(error: ListError) -> Self {
        Self::without_line(error.to_string())
    }
}

impl From<MirrorError> for TextErrors {
    fn from(error: MirrorError) -> Self {
        Self::without_line(error.to_string())
    }
}

impl From<ConfigErrors> for TextErrors {
    fn from(errors: ConfigErrors) -> Self {
        let error = |error: ConfigError| TextError {
            line: Some(error.line),
            message: error.to_string(),
        };
        Self(errors.0.into_iter().map(error).collect())
    }
}

impl From<PatchError> for TextErrors {
    fn from(error: PatchError) -> Self {
        let line = match error.place {
            PatchPlace::Text { line, .. } => usize::try_from(line).ok(),
            PatchPlace::Field(_) | PatchPlace::Document => None,
        };
        Self::at_line(line, error.to_string())
    }
}

/// Returns a value without a user and a password, which an error must not show. The `@` of an image's digest follows
/// none.
fn without_credentials(value: &str) -> Cow<'_, str> {
    match value.rsplit_once('@') {
        Some((before, digest)) if digest.starts_with("sha256:") && !before.contains('@') => value.into(),
        Some((before, _)) if before.contains(':') => hide_user_info(value),
        _ => value.into(),
    }
}

/// Returns the error for inputs that are not valid UTF-8.
pub fn invalid_utf8(names: &[String]) -> Problem {
    let errors = names.iter().map(|name| format!("`{name}` is not valid UTF-8"));
    ValidationErrors(errors.collect()).problem()
}

/// Parses a duration above zero, in the notation of Go, Kubernetes and buildx.
pub(super) fn duration(input: &str, text: &str, errors: &mut ValidationErrors) -> Option<Duration> {
    match text.parse::<jiff::SignedDuration>() {
        Ok(d) if d.as_secs() > 0 => Some(d.unsigned_abs()),
        _ => {
            errors.add(
                input,
                text,
                "must be a duration above zero such as 90s, 5m or 1h30m",
            );
            None
        }
    }
}
