//! Detects the changed paths from the payload of each event.

use std::fs;

use crate::matrix::changes::ChangeKind;

use super::repository::COMMIT;
use super::*;

/// The commits that the payloads name.
const BEFORE: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const AFTER: &str = "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5";
const BRANCH: &str = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e";
const CHANGE: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";

/// Creates a repository with three branches: `main` has commits after `change` branched off, and `merge` merges both.
fn branches() -> Repository {
    let repository = Repository::new();
    let on = |branch: &str, from: &str, rest: &str| {
        let commit = COMMIT.replace("refs/heads/main", &format!("refs/heads/{branch}"));
        format!("{commit}{from}{rest}")
    };
    let file = |path: &str, content: &str| format!("M 100644 inline {path}\ndata 1\n{content}\n");
    let stream = [
        on("main", "", &(file("old", "1") + &file("both", "1"))),
        on("change", "from refs/heads/main\n", &file("change 1", "1")),
        on("change", "", &(file("change 2", "1") + "D old\n")),
        on("main", "", &(file("main", "1") + &file("both", "2"))),
        on(
            "merge",
            "from refs/heads/main\nmerge refs/heads/change\n",
            &(file("change 1", "1") + &file("change 2", "1") + "D old\n"),
        ),
    ];
    repository.import(&stream.concat());
    repository
}

/// Returns a stored payload, with its commits replaced by these.
fn payload(name: &str, commits: &[(&str, &str)]) -> Value {
    let path = format!("{}/tests/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut text = fs::read_to_string(path).expect("a payload");
    for (placeholder, commit) in commits {
        assert!(
            text.contains(placeholder),
            "{name} does not contain {placeholder}"
        );
        text = text.replace(placeholder, commit);
    }
    serde_json::from_str(&text).expect("JSON")
}

fn paths(job: &MatrixJob<'_>) -> Vec<String> {
    job.changes().into_iter().map(|change| change.path).collect()
}

#[test]
fn a_pull_request_is_compared_with_its_merge_base() {
    let repository = branches();
    let id = |name: &str| repository.git(&["rev-parse", name]);
    let (main, change, merge) = (id("main"), id("change"), id("merge"));
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    repository.git(&["checkout", "--quiet", "merge"]);
    let shallow = repository.shallow(&merge);
    let no_clone = no_clone();
    for (name, sha) in [("pull_request", &merge), ("pull_request_target", &main)] {
        let payload = payload(name, &[(BRANCH, &main), (CHANGE, &change)]);
        for root in [repository.path(), shallow.path(), no_clone.path()] {
            let mut job = MatrixJob::new(name, payload.clone(), sha, &github).in_dir(root);
            if name == "pull_request" {
                assert_eq!(paths(&job), ["change 1", "change 2", "old"], "{name} {root:?}");
            } else if root == no_clone.path() {
                assert_eq!(paths(&job), ["change 1", "change 2", "old"], "{name}");
            } else {
                // The checkout is neither the default of this event nor the head of the change, so the checkout counts.
                assert_eq!(paths(&job), ["both", "change 1", "change 2", "main", "old"]);
            }
            job.base = Some("main");
            let head = if root == no_clone.path() { sha } else { &merge };
            let expected: &[&str] = if *head == main {
                &[]
            } else {
                &["change 1", "change 2", "old"]
            };
            assert_eq!(paths(&job), expected, "{name} {root:?} with a base");
        }
    }
    assert!(
        github
            .requests()
            .iter()
            .any(|route| route.starts_with("compare/"))
    );
}

#[test]
fn a_merge_base_is_requested_without_the_file_list_first() {
    let repository = branches();
    let [main, change] = ["main", "change"].map(|name| repository.git(&["rev-parse", name]));
    let payload = payload("pull_request", &[(BRANCH, &main), (CHANGE, &change)]);
    let empty = HttpResponse::new(200, r#"{"commits": []}"#);
    for (faults, requests) in [
        (vec![], 3),
        (vec![empty], 4),
        (vec![github_error(404, "Not Found")], 4),
    ] {
        let behavior = FakeBehavior {
            faults,
            ..FakeBehavior::default()
        };
        let github = FakeGitHub::new(&repository, behavior);
        let job = MatrixJob::new("pull_request", payload.clone(), "", &github);
        assert_eq!(paths(&job), ["change 1", "change 2", "old"]);
        assert_eq!(github.requests().len(), requests);
        assert!(github.requests()[0].ends_with("?per_page=1&page=2"));
    }
}

#[test]
fn a_push_and_a_merge_group_are_compared_with_the_commit_before() {
    let repository = branches();
    let id = |name: &str| repository.git(&["rev-parse", name]);
    let (before, after) = (id("main~1"), id("main"));
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let shallow = repository.shallow(&after);
    let no_clone = no_clone();
    repository.git(&["checkout", "--quiet", "main"]);
    for root in [repository.path(), shallow.path(), no_clone.path()] {
        let push = payload("push", &[(BEFORE, &before), (AFTER, &after)]);
        assert_eq!(
            paths(&MatrixJob::new("push", push, &after, &github).in_dir(root)),
            ["both", "main"]
        );
        let group = payload("merge_group", &[(BRANCH, &before), (CHANGE, &after)]);
        assert_eq!(
            paths(&MatrixJob::new("merge_group", group, &after, &github).in_dir(root)),
            ["both", "main"]
        );
    }
    // For each event: one tree with the shallow clone, two without a clone.
    assert_eq!(github.requests().len(), 2 + 4, "{:?}", github.requests());
}

#[test]
fn other_events_send_no_requests() {
    let repository = branches();
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let sha = repository.git(&["rev-parse", "main"]);
    for (event, file) in [
        ("push", "push_new_branch"),
        ("push", "push_forced"),
        ("push", "push_tag"),
        ("push", "push_deleted"),
        ("workflow_dispatch", "workflow_dispatch"),
        ("schedule", "schedule"),
        ("release", "release"),
    ] {
        let reason = MatrixJob::new(event, payload(file, &[]), &sha, &github).reason();
        assert!(reason.contains(event), "{file}: {reason}");
    }
    assert_eq!(github.requests(), [""; 0]);
}

#[test]
fn a_base_is_found_in_the_clone_or_by_github() {
    let repository = branches();
    repository.git(&["branch", "release/1.0-ü", "change"]);
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let [change, main] = ["change", "main"].map(|name| repository.git(&["rev-parse", name]));
    let shallow = repository.shallow(&main);
    let mut job = MatrixJob::new("schedule", json!({}), &main, &github).in_dir(shallow.path());
    for name in ["change", "main~1", &change, "refs/heads/change", "release/1.0-ü"] {
        job.base = Some(name);
        assert!(!paths(&job).is_empty(), "{name}");
    }
    job.base = Some("gone");
    let error = job.detect().expect_err("no such base").to_string();
    assert_eq!(
        error,
        "Base not found: Looked for the base gone in the clone and on GitHub, and found no such commit, branch or tag.\n\
         Correct the input `base`, or push that commit, branch or tag first."
    );
    // A workflow may pass a commit of the event, such as the one before a forced push.
    let id = "1".repeat(40);
    job.base = Some(&id);
    let reason = job.reason();
    assert_eq!(
        reason,
        format!(
            "cannot determine what changed: Looked for the base {id} in the clone and on GitHub, and found no such commit, \
             branch or tag"
        )
    );
}

#[test]
fn outside_a_job_only_the_clone_is_read() {
    let repository = branches();
    repository.git(&["checkout", "--quiet", "change"]);
    fs::write(repository.path().join("new"), "1").expect("file");
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let mut job = MatrixJob::new("", Value::Null, "", &github).in_dir(repository.path());
    job.event.in_job = false;
    assert!(job.reason().contains("a comparison needs `--base`"));
    job.base = Some("change~1");
    let DetectedChanges::Known { changes, base, head } = job.detect().expect("changes") else {
        panic!("unknown changes")
    };
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["change 2", "new", "old"]);
    assert!(changes.iter().all(|change| change.kind == ChangeKind::File));
    assert_eq!(base, repository.git(&["rev-parse", "change~1"]));
    assert_eq!(head, WORK_TREE);
    job.base = Some("gone");
    let error = job.detect().expect_err("no such base");
    let problem = error.downcast_ref::<Problem>().expect("a problem");
    assert_eq!(
        problem.what,
        "Looked for the base gone in this clone, and found no such commit, branch or tag."
    );
    assert_eq!(problem.remedy, "Correct `base`, or fetch it: `git fetch origin`.");
    let job = job.in_dir(no_clone().path());
    let error = job.detect().expect_err("no clone").to_string();
    assert!(
        error.contains("in the working directory, where no Git clone can be read"),
        "{error}"
    );
    assert_eq!(github.requests(), [""; 0]);
}
