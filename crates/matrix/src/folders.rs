//! Folders that come and go with their files.

use std::collections::{BTreeMap, BTreeSet};

use super::changes::{Change, Kind};
use super::tree::Tree;

/// The changes, and with them the folders that are new or gone, in order. The tree is the one after the changes.
///
/// Git has no folders, but BuildKit copies them: of a file that is ignored or excluded the folder is still there, and
/// `COPY` makes it. The root is always there.
pub fn with_folders(changes: &[Change], tree: &Tree) -> Vec<Change> {
    let (here, gone): (BTreeMap<&str, Kind>, BTreeMap<&str, Kind>) = changes
        .iter()
        .map(|change| (change.path.as_str(), change.kind))
        .partition(|(path, _)| tree.has_file(path));
    let was_there = |folder: &str| {
        let stayed = |file: &String| here.get(file.as_str()).is_none_or(|kind| *kind == Kind::Edited);
        let below = format!("{folder}/");
        let first_gone = gone.range(below.as_str()..).next();
        first_gone.is_some_and(|(path, _)| path.starts_with(&below)) || tree.below(folder).iter().any(stayed)
    };
    let is_there = |folder: &str| !tree.below(folder).is_empty();
    let (mut folders, mut staying) = (BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let mut path = change.path.as_str();
        while let Some((folder, _)) = path.rsplit_once('/') {
            // Each is looked at once, and so are those above it.
            let known = here.contains_key(folder) || gone.contains_key(folder) || folders.contains(folder);
            if known || staying.contains(folder) {
                break;
            }
            if was_there(folder) && is_there(folder) {
                staying.insert(folder);
                break;
            }
            folders.insert(folder);
            path = folder;
        }
    }
    let folder = |path: &str| Change {
        path: path.to_owned(),
        kind: Kind::Folder,
    };
    let mut all: Vec<Change> = changes.to_vec();
    all.extend(folders.into_iter().map(folder));
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes whose paths end in `!` are edits.
    fn folders(changed: &[&str], files: &[&str]) -> Vec<String> {
        let tree = Tree::new(
            files.iter().map(|file| (*file).to_owned()).collect(),
            BTreeMap::new(),
            BTreeSet::new(),
        );
        let change = |path: &&str| Change {
            path: path.trim_end_matches('!').to_owned(),
            kind: if path.ends_with('!') {
                Kind::Edited
            } else {
                Kind::File
            },
        };
        let changes: Vec<Change> = changed.iter().map(change).collect();
        let all = with_folders(&changes, &tree);
        assert!(all.is_sorted());
        let folders = all.into_iter().filter(|change| change.kind == Kind::Folder);
        folders.map(|folder| folder.path).collect()
    }

    #[test]
    fn a_folder_goes_with_its_last_file() {
        assert_eq!(folders(&["a/b/c/x"], &["a/y"]), ["a/b", "a/b/c"]);
        assert_eq!(folders(&["x"], &[]), [] as [&str; 0]);
    }

    #[test]
    fn a_folder_comes_with_its_first_files() {
        assert_eq!(folders(&["a/b/x", "a/b/y"], &["a/b/x", "a/b/y", "a/z"]), ["a/b"]);
    }

    #[test]
    fn a_folder_stays_with_a_file_that_did_not_change() {
        assert_eq!(folders(&["a/b/x"], &["a/b/y"]), [] as [&str; 0]);
        assert_eq!(folders(&["a/b/x"], &["a/b/x", "a/b/c/y"]), [] as [&str; 0]);
    }

    #[test]
    fn a_folder_stays_when_its_files_change_places_or_content() {
        assert_eq!(folders(&["a/b/x!"], &["a/b/x"]), [] as [&str; 0]);
        assert_eq!(folders(&["a/b/x", "a/b/y"], &["a/b/y"]), [] as [&str; 0]);
        assert_eq!(folders(&["a/b/x", "a/c/x"], &["a/c/x"]), ["a/b", "a/c"]);
        assert_eq!(folders(&["a/b/x", "a/b/c/x"], &["a/b/c/x"]), ["a/b/c"]);
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_a_change_already() {
        assert_eq!(folders(&["a/b", "a/b/x"], &["a/b", "a/c"]), [] as [&str; 0]);
    }
}
