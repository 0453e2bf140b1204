//! What a user reads while it runs.

use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Prints each step with the seconds it took. Not to be confused with the debug log.
#[derive(Debug, Clone)]
pub struct Report {
    since: Instant,
    /// Shared by clones: one may be asked while another works.
    last: Arc<Mutex<String>>,
}

impl Report {
    pub fn start() -> Self {
        Self {
            since: Instant::now(),
            last: Arc::new(Mutex::new("nothing was done yet".into())),
        }
    }

    /// How far it has come.
    pub fn last(&self) -> String {
        self.last.lock().map(|last| last.clone()).unwrap_or_default()
    }

    /// A step is done.
    pub fn done(&mut self, what: &str) {
        if let Ok(mut last) = self.last.lock() {
            what.clone_into(&mut last);
        }
        say(&format!("{what} ({:.2} s)", self.since.elapsed().as_secs_f64()));
        self.since = Instant::now();
    }

    /// A line below the step under way.
    pub fn detail(what: &str) {
        say(&format!("  {what}"));
    }
}

/// To standard output; a closed log is no reason to fail.
pub fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
