//! Directories that appear or disappear with their files.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{Change, ChangeKind};
use super::tree::FileTree;

/// Returns the changes together with the directories that they create or delete, sorted. The tree is the one after the
/// changes.
///
/// Git does not track directories, but BuildKit copies them: `COPY` creates the directory of a file that is ignored or
/// excluded. The root always exists.
pub fn with_directories(changes: &[Change], tree: &FileTree) -> Vec<Change> {
    let (present, deleted): (BTreeMap<&str, ChangeKind>, BTreeMap<&str, ChangeKind>) = changes
        .iter()
        .map(|change| (change.path.as_str(), change.kind))
        .partition(|(path, _)| tree.has_file(path));
    let existed = |dir: &str| {
        let kept = |file: &String| {
            present
                .get(file.as_str())
                .is_none_or(|kind| *kind == ChangeKind::Edited)
        };
        let prefix = format!("{dir}/");
        let first_deleted = deleted.range(prefix.as_str()..).next();
        first_deleted.is_some_and(|(path, _)| path.starts_with(&prefix)) || tree.below(dir).iter().any(kept)
    };
    let exists = |dir: &str| !tree.below(dir).is_empty();
    let (mut changed, mut unchanged) = (BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let mut path = change.path.as_str();
        while let Some((dir, _)) = path.rsplit_once('/') {
            // Each directory is examined once, and so are its parents.
            let is_known = present.contains_key(dir) || deleted.contains_key(dir) || changed.contains(dir);
            if is_known || unchanged.contains(dir) {
                break;
            }
            if existed(dir) && exists(dir) {
                unchanged.insert(dir);
                break;
            }
            changed.insert(dir);
            path = dir;
        }
    }
    let directory = |path: &str| Change {
        path: path.to_owned(),
        kind: ChangeKind::Directory,
    };
    let mut all: Vec<Change> = changes.to_vec();
    all.extend(changed.into_iter().map(directory));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the changed directories. Paths that end in `!` are edits.
    fn changed_directories(changed: &[&str], files: &[&str]) -> Vec<String> {
        let tree = FileTree::new(
            files.iter().map(|file| (*file).to_owned()).collect(),
            BTreeMap::new(),
            BTreeSet::new(),
        );
        let change = |path: &&str| Change {
            path: path.trim_end_matches('!').to_owned(),
            kind: if path.ends_with('!') {
                ChangeKind::Edited
            } else {
                ChangeKind::File
            },
        };
        let changes: Vec<Change> = changed.iter().map(change).collect();
        let all = with_directories(&changes, &tree);
        assert!(all.is_sorted());
        let directories = all
            .into_iter()
            .filter(|change| change.kind == ChangeKind::Directory);
        directories.map(|directory| directory.path).collect()
    }

    #[test]
    fn a_directory_is_deleted_with_its_last_file() {
        assert_eq!(changed_directories(&["a/b/c/x"], &["a/y"]), ["a/b", "a/b/c"]);
        assert_eq!(changed_directories(&["x"], &[]), [] as [&str; 0]);
    }

    #[test]
    fn a_directory_is_created_with_its_first_files() {
        assert_eq!(
            changed_directories(&["a/b/x", "a/b/y"], &["a/b/x", "a/b/y", "a/z"]),
            ["a/b"]
        );
    }

    #[test]
    fn a_directory_with_an_unchanged_file_is_unchanged() {
        assert_eq!(changed_directories(&["a/b/x"], &["a/b/y"]), [] as [&str; 0]);
        assert_eq!(
            changed_directories(&["a/b/x"], &["a/b/x", "a/b/c/y"]),
            [] as [&str; 0]
        );
    }

    #[test]
    fn a_directory_is_unchanged_when_its_files_are_edited_or_replaced() {
        assert_eq!(changed_directories(&["a/b/x!"], &["a/b/x"]), [] as [&str; 0]);
        assert_eq!(
            changed_directories(&["a/b/x", "a/b/y"], &["a/b/y"]),
            [] as [&str; 0]
        );
        assert_eq!(
            changed_directories(&["a/b/x", "a/c/x"], &["a/c/x"]),
            ["a/b", "a/c"]
        );
        assert_eq!(
            changed_directories(&["a/b/x", "a/b/c/x"], &["a/b/c/x"]),
            ["a/b/c"]
        );
    }

    #[test]
    fn a_file_that_replaces_a_directory_is_a_change_already() {
        assert_eq!(
            changed_directories(&["a/b", "a/b/x"], &["a/b", "a/c"]),
            [] as [&str; 0]
        );
    }
}
