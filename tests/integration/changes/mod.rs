//! What changed, asked of real repositories and of an API like GitHub's, with the events of a job.

mod events;
mod faults;
mod github;
mod random;
mod repository;
mod trees;

use std::path::Path;
use std::time::Duration;

use remote_buildkit::commands::matrix::changed::{Changed, Event, Question, changed_by};
use remote_buildkit::report::Report;
use remote_buildkit::secret::Secret;
use remote_buildkit_matrix::changes::Change;
use serde_json::{Value, json};

use self::github::GitHub;

/// What a job asks.
struct Job<'a> {
    event: Event,
    root: &'a Path,
    base: Option<&'a str>,
    token: Option<&'static str>,
}

impl<'a> Job<'a> {
    fn new(name: &str, payload: Value, sha: &str, github: &GitHub, root: &'a Path) -> Self {
        Self {
            event: Event {
                in_job: true,
                name: name.to_owned(),
                payload: Some(payload),
                sha: Some(sha.to_owned()),
                repository: Some("acme/shop".to_owned()),
                api_url: Some(github.url.clone()),
                within: Duration::from_secs(60),
            },
            root,
            base: None,
            token: None,
        }
    }

    fn push(commits: &[String; 2], github: &GitHub, root: &'a Path) -> Self {
        let [before, after] = commits;
        let payload = json!({"before": before, "after": after, "ref": "refs/heads/main", "forced": false});
        Self::new("push", payload, after, github, root)
    }

    fn changed(&self) -> Changed {
        // As main does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let question = Question {
            root: self.root,
            base: self.base,
            token: self.token.map(Secret::new),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let report = Report::start();
        runtime
            .block_on(changed_by(&self.event, &question, &report))
            .expect("an answer")
    }

    fn changes(&self) -> Vec<Change> {
        match self.changed() {
            Changed::These { changes, .. } => changes,
            Changed::Everything { reason } => panic!("everything: {reason}"),
        }
    }

    fn reason(&self) -> String {
        match self.changed() {
            Changed::Everything { reason } => reason,
            Changed::These { changes, base, head } => panic!("{base} {head} {changes:?}"),
        }
    }
}

/// A folder that is no clone.
fn no_clone() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
