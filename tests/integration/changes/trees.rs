//! Trees of different sizes.

use super::github::Mood;
use super::repository::Repository;
use super::*;
use remote_buildkit::git::Git;

fn by_git(repository: &Repository, [before, after]: &[String; 2]) -> Vec<Change> {
    let git = Git::open(repository.path()).expect("git").expect("a clone");
    git.changes(before, after).expect("changes")
}

#[test]
fn any_number_of_changes_is_found() {
    for changed in [1, 300, 3_000] {
        let repository = Repository::new();
        let commits = repository.of_changes(20, 5_000, changed);
        let github = GitHub::of(&repository, Mood::default());
        let nothing = no_clone();
        let changes = Job::push(&commits, &github, nothing.path()).changes();
        assert_eq!(changes.len(), changed);
        assert_eq!(changes, by_git(&repository, &commits));
        assert_eq!(github.requests().len(), 2, "two whole trees");
    }
}

#[test]
fn a_hundred_thousand_changes_in_a_truncated_tree_are_found() {
    let repository = Repository::new();
    let commits = repository.of_changes(40, 120_000, 100_000);
    let expected = by_git(&repository, &commits);
    assert_eq!(expected.len(), 100_000);
    let github = GitHub::of(&repository, Mood::default());
    let (shallow, nothing) = (repository.shallow(&commits[1]), no_clone());
    for (root, requests) in [
        // One that is cut off, the directories of both, and each directory of both.
        (nothing.path(), 1 + 2 + 2 * 40),
        // The clone has the other commit.
        (shallow.path(), 1 + 1 + 40),
    ] {
        let before = github.requests().len();
        assert_eq!(Job::push(&commits, &github, root).changes(), expected);
        assert_eq!(github.requests().len() - before, requests);
    }
}

#[test]
fn only_the_differing_directories_of_a_truncated_tree_are_requested() {
    let repository = Repository::new();
    let commits = repository.of_changes(1000, 10_000, 3);
    let most = Some(2_000);
    let github = GitHub::of(
        &repository,
        Mood {
            most,
            ..Mood::default()
        },
    );
    let nothing = no_clone();
    let changes = Job::push(&commits, &github, nothing.path()).changes();
    assert_eq!(changes, by_git(&repository, &commits));
    assert_eq!(github.requests().len(), 1 + 2 + 2 * 3);
}

#[test]
fn too_many_differing_directories_build_all() {
    let repository = Repository::new();
    let commits = repository.of_changes(500, 1_000, 1_000);
    let most = Some(100);
    let github = GitHub::of(
        &repository,
        Mood {
            most,
            ..Mood::default()
        },
    );
    let nothing = no_clone();
    let reason = Job::push(&commits, &github, nothing.path()).reason();
    assert!(reason.contains("differ in more than 200 directories"), "{reason}");
    assert!(github.requests().len() < 500, "{}", github.requests().len());
}

#[test]
fn missing_trees_of_a_partial_clone_are_read_from_github() {
    let repository = Repository::new();
    let commits = repository.of_changes(5, 50, 7);
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    let dir = no_clone();
    let url = format!("file://{}", repository.path().display());
    let arguments = [
        "clone",
        "--quiet",
        "--no-checkout",
        "--filter=tree:0",
        &url,
        "treeless",
    ];
    repository::git(dir.path(), &arguments);
    let github = GitHub::of(&repository, Mood::default());
    let changes = Job::push(&commits, &github, &dir.path().join("treeless")).changes();
    assert_eq!(changes, by_git(&repository, &commits));
    assert_eq!(github.requests().len(), 2);
}
