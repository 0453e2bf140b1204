//! Trees of different sizes.

use super::*;

/// Starts a fake whose recursive trees are truncated at this number of entries.
fn truncating_github(repository: &Repository, max_tree_entries: usize) -> FakeGitHub {
    let behavior = FakeBehavior {
        max_tree_entries: Some(max_tree_entries),
        ..FakeBehavior::default()
    };
    FakeGitHub::new(repository, behavior)
}

#[test]
fn any_number_of_changes_is_found() {
    for changed in [1, 300, 3_000] {
        let repository = Repository::new();
        let commits = repository.of_changes(20, 5_000, changed);
        let github = FakeGitHub::new(&repository, FakeBehavior::default());
        let changes = MatrixJob::push(&commits, &github).changes();
        assert_eq!(changes.len(), changed);
        assert_eq!(changes, changes_by_git(&repository, &commits));
        assert_eq!(github.requests().len(), 2, "two whole trees");
    }
}

#[test]
fn a_hundred_thousand_changes_in_a_truncated_tree_are_found() {
    let repository = Repository::new();
    let commits = repository.of_changes(40, 120_000, 100_000);
    let expected = changes_by_git(&repository, &commits);
    assert_eq!(expected.len(), 100_000);
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let shallow = repository.shallow(&commits[1]);
    for (job, requests) in [
        // The truncated tree, the top directories of both commits, and each directory of both commits.
        (MatrixJob::push(&commits, &github), 1 + 2 + 2 * 40),
        // The clone has the other commit.
        (
            MatrixJob::push(&commits, &github).in_dir(shallow.path()),
            1 + 1 + 40,
        ),
    ] {
        let before = github.requests().len();
        assert_eq!(job.changes(), expected);
        assert_eq!(github.requests().len() - before, requests);
    }
}

#[test]
fn only_the_differing_directories_of_a_truncated_tree_are_requested() {
    let repository = Repository::new();
    let commits = repository.of_changes(1000, 10_000, 3);
    let github = truncating_github(&repository, 2_000);
    let changes = MatrixJob::push(&commits, &github).changes();
    assert_eq!(changes, changes_by_git(&repository, &commits));
    assert_eq!(github.requests().len(), 1 + 2 + 2 * 3);
}

#[test]
fn too_many_differing_directories_build_all() {
    let repository = Repository::new();
    let commits = repository.of_changes(500, 1_000, 1_000);
    let github = truncating_github(&repository, 100);
    let reason = MatrixJob::push(&commits, &github).reason();
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
    let github = FakeGitHub::new(&repository, FakeBehavior::default());
    let job = MatrixJob::push(&commits, &github).in_dir(&dir.path().join("treeless"));
    assert_eq!(job.changes(), changes_by_git(&repository, &commits));
    assert_eq!(github.requests().len(), 2);
}
