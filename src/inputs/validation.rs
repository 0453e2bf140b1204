//! The errors of invalid values, and values that several commands have.

use std::borrow::Cow;
use std::time::Duration;

use crate::env;
use crate::error_code::ErrorCode;
use crate::problem::Problem;

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

    /// Adds the errors of a value that may have several lines and contain secrets. Only the lines that an error
    /// names, as in `line 1, column 2: …`, are shown.
    pub(super) fn add_text(&mut self, input: &str, text: &str, errors: &str) {
        if text.trim().lines().count() <= 1 {
            return self.add(input, text.trim(), errors);
        }
        for error in errors.lines() {
            let number = error.strip_prefix("line ").and_then(|rest| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
                digits.parse::<usize>().ok()?.checked_sub(1)
            });
            match number.and_then(|number| text.lines().nth(number)) {
                Some(line) => self.add(input, line.trim(), error),
                None => self.0.push(format!("`{input}`: {error}")),
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

/// Returns a value without the user and password of a URL in it, which an error must not show.
fn without_credentials(value: &str) -> Cow<'_, str> {
    match value.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => {
            let host = rest.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://***@{host}").into()
        }
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
