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

/// Runs the build of a part like [`step`]. Says before what is left after it, and at the end how much processor time its
/// programs used.
pub(crate) fn build<T>(what: &str, left: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (start, before) = (Instant::now(), children_time());
    let spinner = spinner(&format!("{what}{left}"));
    let result = work();
    spinner.finish_and_clear();
    if result.is_ok() {
        let processor = match (before, children_time()) {
            (Some(before), Some(after)) => {
                format!(
                    " ({:.0} s of processor time)",
                    after.saturating_sub(before).as_secs_f64()
                )
            }
            _ => String::new(),
        };
        eprintln!("  {what}: {}{processor}", seconds(start.elapsed()));
    }
    result
}

/// Returns the processor time of all children that this process has waited for, and of theirs.
fn children_time() -> Option<Duration> {
    parse_children_time(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// Parses cutime and cstime from a stat file of proc(5). Programs see them in hundredths of a second on every architecture
/// of the lab (USER_HZ).
fn parse_children_time(stat: &str) -> Option<Duration> {
    // The program's name is in parentheses and may contain spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(13);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
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

    #[test]
    fn the_time_of_children_is_read_from_stat() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 9 8 7 6 100 50 1234 66 20 0 1 0 99 0 0";
        assert_eq!(parse_children_time(stat), Some(Duration::from_secs(13)));
        assert_eq!(parse_children_time("7 (x) S 1"), None);
    }
}
