//! Detects changes in real repositories and with a fake of GitHub's API, for the events of a job.

mod api_errors;
mod events;
mod fake_github;
mod object_reader;
mod random;
mod repository;
mod tree_sizes;

use std::path::PathBuf;

use lab::HttpResponse;
use serde_json::json;
use tempfile::TempDir;

use self::fake_github::{FakeBehavior, FakeGitHub, github_error};
use self::repository::Repository;
use super::*;

/// A job that detects its changes.
struct MatrixJob<'a> {
    event: RunEvent,
    root: PathBuf,
    base: Option<&'a str>,
    token: Option<&'static str>,
    /// The directory of a job without a clone.
    _empty: TempDir,
}

impl<'a> MatrixJob<'a> {
    /// Returns a job without a clone, so that changes are detected with GitHub's API alone.
    fn new(name: &str, payload: Value, sha: &str, github: &FakeGitHub) -> Self {
        let empty = no_clone();
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
            root: empty.path().to_owned(),
            base: None,
            token: None,
            _empty: empty,
        }
    }

    /// Returns a job for a push of the second commit onto the first, without a clone.
    fn push(commits: &[String; 2], github: &FakeGitHub) -> Self {
        let [before, after] = commits;
        let payload = json!({"before": before, "after": after, "ref": "refs/heads/main", "forced": false});
        Self::new("push", payload, after, github)
    }

    /// Runs the job in this directory.
    fn in_dir(self, root: &Path) -> Self {
        let root = root.to_owned();
        Self { root, ..self }
    }

    fn detect(&self) -> anyhow::Result<DetectedChanges> {
        // As main does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let query = ChangeQuery {
            root: &self.root,
            base: self.base,
            token: self.token.map(Secret::new),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let report = Report::start();
        runtime.block_on(detect_changes_for(&self.event, &query, &report))
    }

    fn changes(&self) -> Vec<Change> {
        match self.detect().expect("a result") {
            DetectedChanges::Known { changes, .. } => changes,
            DetectedChanges::Unknown { reason } => panic!("unknown changes: {reason}"),
        }
    }

    fn reason(&self) -> String {
        match self.detect().expect("a result") {
            DetectedChanges::Unknown { reason } => reason,
            DetectedChanges::Known { changes, base, head } => panic!("{base} {head} {changes:?}"),
        }
    }
}

/// Creates a directory that is not a clone.
fn no_clone() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Returns the differences between two commits according to the program git.
fn changes_by_git(repository: &Repository, [before, after]: &[String; 2]) -> Vec<Change> {
    let git = Git::open(repository.path()).expect("git").expect("a clone");
    git.changes(before, after).expect("changes")
}
