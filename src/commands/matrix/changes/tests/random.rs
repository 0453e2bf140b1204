//! For random commits, the comparison with GitHub's API agrees with git diff-tree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::repository::COMMIT;
use super::*;

/// Generates paths of few names, so that files, directories and submodules replace each other.
fn path() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c d", "é", "-x", "[e]", "f\tg"]);
    prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"))
}

/// Generates a mode and a content: a file, an executable, a symbolic link or a submodule.
fn entry() -> impl Strategy<Value = (&'static str, u8)> {
    (
        prop::sample::select(vec!["100644", "100755", "120000", "160000"]),
        0..3_u8,
    )
}

/// Generates a tree in which no path is below a file.
fn tree() -> impl Strategy<Value = BTreeMap<String, (&'static str, u8)>> {
    prop::collection::btree_map(path(), entry(), 0..12).prop_map(|all| {
        let is_file = |path: &str| all.contains_key(path);
        let free = |path: &str| !path.match_indices('/').any(|(at, _)| is_file(&path[..at]));
        all.clone().into_iter().filter(|(path, _)| free(path)).collect()
    })
}

/// Returns a commit of the tree, for git-fast-import.
fn stream(tree: &BTreeMap<String, (&'static str, u8)>) -> String {
    let mut text = format!("{COMMIT}deleteall\n");
    for (path, (mode, content)) in tree {
        let path = path.replace('\t', "\\t");
        text += &match *mode {
            "160000" => format!("M 160000 {} \"{path}\"\n", format!("{}", content + 1).repeat(40)),
            mode => format!("M {mode} inline \"{path}\"\ndata 1\n{content}\n"),
        };
    }
    text
}

#[test]
fn api_and_git_agree() {
    let config = Config {
        cases: 40,
        rng_seed: RngSeed::Fixed(6),
        failure_persistence: None,
        ..Config::default()
    };
    let trees = (tree(), tree(), prop::sample::select(vec![None, Some(1), Some(4)]));
    let mut runner = TestRunner::new(config);
    let repository = Repository::new();
    let outcome = runner.run(&trees, |(before, after, max_tree_entries)| {
        // Each import begins a new history.
        repository.import(&(stream(&before) + &stream(&after)));
        let commits = repository.last_two_commits();
        let behavior = FakeBehavior {
            max_tree_entries,
            ..FakeBehavior::default()
        };
        let github = FakeGitHub::new(&repository, behavior);
        let changes = MatrixJob::push(&commits, &github).changes();
        prop_assert_eq!(&changes, &changes_by_git(&repository, &commits));
        // Git's list of names, which does not depend on our parser.
        let names = repository.git(&["diff-tree", "-r", "-z", "--name-only", &commits[0], &commits[1]]);
        let mut names: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
        prop_assert_eq!(paths, names);
        Ok(())
    });
    outcome.expect("the API and git agree");
}
