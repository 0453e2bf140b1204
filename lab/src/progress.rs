//! Progress output: a spinner on a terminal, plain lines in a CI log.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Runs a step and prints how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let spinner = spinner(what);
    let result = work();
    spinner.finish_and_clear();
    if result.is_ok() {
        eprintln!("  {what}: {}", seconds(start.elapsed()));
    }
    result
}

fn spinner(what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("  {what} …");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Formats a duration: `0.8 s`, `12.0 s`, `3 min 05 s`.
pub fn seconds(took: Duration) -> String {
    if took.as_secs() < 60 {
        return format!("{:.1} s", took.as_secs_f64());
    }
    format!("{} min {:02} s", took.as_secs() / 60, took.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted() {
        assert_eq!(seconds(Duration::from_millis(840)), "0.8 s");
        assert_eq!(seconds(Duration::from_secs(12)), "12.0 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}
