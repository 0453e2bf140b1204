//! What a user reads while it runs.

use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Prints each step with the seconds it took. Clones are one report: one may be asked while another works. Not to be
/// confused with the debug log.
#[derive(Debug, Clone)]
pub struct Report(Arc<Mutex<Progress>>);

#[derive(Debug)]
struct Progress {
    since: Instant,
    last: String,
}

impl Report {
    pub fn start() -> Self {
        Self(Arc::new(Mutex::new(Progress {
            since: Instant::now(),
            last: "nothing was done yet".into(),
        })))
    }

    /// How far it has come.
    pub fn last(&self) -> String {
        self.0
            .lock()
            .map(|progress| progress.last.clone())
            .unwrap_or_default()
    }

    /// A step is done.
    pub fn done(&self, what: &str) {
        // A lock is lost only by a panic elsewhere, and that is what will be reported.
        if let Ok(mut progress) = self.0.lock() {
            say(&format!(
                "{what} ({:.2} s)",
                progress.since.elapsed().as_secs_f64()
            ));
            what.clone_into(&mut progress.last);
            progress.since = Instant::now();
        }
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
