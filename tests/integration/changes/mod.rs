//! Detects changes in real repositories and with a fake of GitHub's API, for the events of a job.

mod events;
mod faults;
mod github;
mod random;
mod repository;
mod trees;

use std::path::Path;
use std::time::Duration;

use remote_buildkit::commands::matrix::changes::{
    ChangeQuery, DetectedChanges, RunEvent, detect_changes_for,
};
use remote_buildkit::report::Report;
use remote_buildkit::secret::Secret;
use remote_buildkit_matrix::changes::Change;
use serde_json::{Value, json};

use self::github::GitHub;

/// A job that detects its changes.
struct Job<'a> {
    event: RunEvent,
    root: &'a Path,
    base: Option<&'a str>,
    token: Option<&'static str>,
}

impl<'a> Job<'a> {
    fn new(name: &str, payload: Value, sha: &str, github: &GitHub, root: &'a Path) -> Self {
        Self {
            event: RunEvent {
                in_job: true,
                name: name.to_owned(),
                payload: Some(payload),
                sha: Some(sha.to_owned()),
                repository: Some("acme/shop".to_owned()),
                api_url: Some(github.url.clone()),
                api_timeout: Duration::from_secs(60),
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

    fn detect(&self) -> anyhow::Result<DetectedChanges> {
        // As main does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let query = ChangeQuery {
            root: self.root,
            base: self.base,
            token: self.token.map(Secret::new),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let report = Report::start();
        runtime.block_on(detect_changes_for(&self.event, &query, &report))
    }

    fn changes(&self) -> Vec<Change> {
        match self.detect().expect("an answer") {
            DetectedChanges::Known { changes, .. } => changes,
            DetectedChanges::Unknown { reason } => panic!("unknown changes: {reason}"),
        }
    }

    fn reason(&self) -> String {
        match self.detect().expect("an answer") {
            DetectedChanges::Unknown { reason } => reason,
            DetectedChanges::Known { changes, base, head } => panic!("{base} {head} {changes:?}"),
        }
    }
}

/// A directory that is not a clone.
fn no_clone() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}
