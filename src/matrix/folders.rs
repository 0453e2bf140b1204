//! Folders that come and go with their files.

use std::collections::BTreeSet;

use super::changes::{Change, Kind};
use super::tree::Tree;

/// The changes, and with them the folders that may be new or gone, in order.
///
/// Git has no folders, but BuildKit copies them: of a file that is ignored or excluded the folder is still there, and
/// `COPY` makes it. So a folder counts as changed when nothing in it is as it was. The root is always there.
pub fn with_folders(changes: &[Change], tree: &Tree) -> Vec<Change> {
    let changed: BTreeSet<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    let (mut folders, mut staying) = (BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let mut path = change.path.as_str();
        while let Some((folder, _)) = path.rsplit_once('/') {
            // Each is looked at once, and so are those above it.
            if changed.contains(folder) || folders.contains(folder) || staying.contains(folder) {
                break;
            }
            let mut files = tree.below(folder).iter();
            if files.any(|file| !changed.contains(file.as_str())) {
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
    use std::collections::BTreeMap;

    use super::*;

    fn folders(changed: &[&str], files: &[&str]) -> Vec<String> {
        let tree = Tree::new(
            files.iter().map(|file| (*file).to_owned()).collect(),
            BTreeMap::new(),
            BTreeSet::new(),
        );
        let change = |path: &&str| Change {
            path: (*path).to_owned(),
            kind: Kind::File,
        };
        let changes: Vec<Change> = changed.iter().map(change).collect();
        let paths = with_folders(&changes, &tree)
            .into_iter()
            .map(|change| change.path);
        paths.filter(|path| !changed.contains(&path.as_str())).collect()
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
    fn a_file_in_place_of_a_folder_is_a_change_already() {
        assert_eq!(folders(&["a/b", "a/b/x"], &["a/b", "a/c"]), [] as [&str; 0]);
    }
}
