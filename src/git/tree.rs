//! Git's trees: their entries, and the comparison of two of them; and the files of a working tree.
//!
//! These types are Git's and not the matrix's: the clone and GitHub's API both return them, and the crate
//! `remote-buildkit-matrix` needs only the changes that come out of a comparison.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};

use crate::matrix::changes::{Change, ChangeKind};

/// An entry of a tree (git-ls-tree).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreeEntry {
    /// Relative to the tree that was listed.
    pub path: String,
    pub mode: FileMode,
    /// The object's id, which is a hash of its content.
    pub id: String,
}

/// The file modes that Git stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileMode {
    File,
    Executable,
    Link,
    Submodule,
    Tree,
}

impl FileMode {
    /// Parses octal digits. Old trees have other modes, such as 100664. Git reads those as one of its own (`canon_mode` in
    /// its object.h), and GitHub returns them unchanged.
    pub fn parse(octal: &str) -> Option<Self> {
        let bits = u32::from_str_radix(octal, 8).ok()?;
        Some(match bits & 0o170_000 {
            0o100_000 if bits & 0o100 == 0 => Self::File,
            0o100_000 => Self::Executable,
            0o120_000 => Self::Link,
            0o040_000 => Self::Tree,
            _ => Self::Submodule,
        })
    }

    fn change_kind(self) -> ChangeKind {
        match self {
            Self::Submodule => ChangeKind::Submodule,
            Self::File | Self::Executable | Self::Link | Self::Tree => ChangeKind::File,
        }
    }
}

/// Collects changes: one for each path, sorted.
#[derive(Debug, Default)]
pub struct ChangeSet(BTreeMap<String, ChangeKind>);

impl ChangeSet {
    /// Adds what is at a path on one side of the comparison. Called a second time if the other side has the path as well.
    /// A path that is a submodule on either side is a changed submodule.
    pub fn add(&mut self, path: String, kind: ChangeKind) {
        match self.0.entry(path) {
            Vacant(new) => drop(new.insert(kind)),
            Occupied(mut known) => {
                let both = match (kind, *known.get()) {
                    (ChangeKind::File, ChangeKind::File) => ChangeKind::Edited,
                    (one, other) => one.max(other),
                };
                known.insert(both);
            }
        }
    }

    /// Adds an entry that a directory has on one side only.
    pub fn add_entry(&mut self, dir: &str, entry: &TreeEntry) {
        self.add(join(dir, &entry.path), entry.mode.change_kind());
    }

    /// Adds every entry that only one of two listings of a directory has.
    ///
    /// Listings are sets of entries and not maps from paths, because two paths that are not UTF-8 may be decoded to the
    /// same text.
    pub fn compare(&mut self, dir: &str, before: &mut [TreeEntry], after: &mut [TreeEntry]) {
        before.sort_unstable();
        after.sort_unstable();
        let add_missing = |of: &[TreeEntry], from: &[TreeEntry], changes: &mut Self| {
            for entry in of.iter().filter(|entry| from.binary_search(entry).is_err()) {
                changes.add_entry(dir, entry);
            }
        };
        add_missing(before, after, self);
        add_missing(after, before, self);
    }

    pub fn into_vec(self) -> Vec<Change> {
        let changes = self.0.into_iter();
        changes.map(|(path, kind)| Change { path, kind }).collect()
    }
}

/// A directory that differs, with its tree on each side that has it.
#[derive(Debug, PartialEq, Eq)]
pub struct TreePair {
    pub dir: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Removes the subdirectories from two non-recursive listings of a directory, and returns those that differ.
pub fn differing_subdirectories(
    dir: &str,
    before: &mut Vec<TreeEntry>,
    after: &mut Vec<TreeEntry>,
) -> Vec<TreePair> {
    let mut found: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    for tree in before.extract_if(.., |entry| entry.mode == FileMode::Tree) {
        found.entry(tree.path).or_default().0 = Some(tree.id);
    }
    for tree in after.extract_if(.., |entry| entry.mode == FileMode::Tree) {
        found.entry(tree.path).or_default().1 = Some(tree.id);
    }
    let differing = found.into_iter().filter(|(_, (before, after))| before != after);
    differing
        .map(|(name, (before, after))| TreePair {
            dir: join(dir, &name),
            before,
            after,
        })
        .collect()
}

fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

/// A file that a build can find in the working tree: one that Git tracks, or neither tracks nor ignores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkTreeFile {
    /// Relative to the root, separated by `/`.
    pub path: String,
    pub kind: FileKind,
}

/// The kind of a [`WorkTreeFile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    File,
    /// A symbolic link.
    Link,
    /// A directory that is a repository of its own.
    Submodule,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(&str, FileMode, &str)]) -> Vec<TreeEntry> {
        let entry = |(path, mode, id): &(&str, FileMode, &str)| TreeEntry {
            path: (*path).to_owned(),
            mode: *mode,
            id: (*id).to_owned(),
        };
        of.iter().map(entry).collect()
    }

    fn compared(
        before: &[(&str, FileMode, &str)],
        after: &[(&str, FileMode, &str)],
    ) -> Vec<(String, ChangeKind)> {
        let mut changes = ChangeSet::default();
        changes.compare("", &mut entries(before), &mut entries(after));
        let changes = changes.into_vec().into_iter();
        changes.map(|change| (change.path, change.kind)).collect()
    }

    #[test]
    fn each_kind_of_difference_is_a_change() {
        let before = [
            ("content", FileMode::File, "1"),
            ("same", FileMode::File, "1"),
            ("mode", FileMode::File, "1"),
            ("old-name", FileMode::File, "9"),
            ("link", FileMode::Link, "1"),
            ("becomes-link", FileMode::File, "1"),
            ("sub", FileMode::Submodule, "1"),
            ("sub-to-dir", FileMode::Submodule, "1"),
            ("dir-to-sub/a", FileMode::File, "1"),
            ("sub-to-file", FileMode::Submodule, "1"),
            ("same-sub", FileMode::Submodule, "1"),
        ];
        let after = [
            ("content", FileMode::File, "2"),
            ("same", FileMode::File, "1"),
            ("mode", FileMode::Executable, "1"),
            ("new-name", FileMode::File, "9"),
            ("link", FileMode::Link, "2"),
            ("becomes-link", FileMode::Link, "1"),
            ("sub", FileMode::Submodule, "2"),
            ("sub-to-dir/a", FileMode::File, "1"),
            ("dir-to-sub", FileMode::Submodule, "1"),
            ("sub-to-file", FileMode::File, "1"),
            ("same-sub", FileMode::Submodule, "1"),
        ];
        let expected = [
            ("becomes-link", ChangeKind::Edited),
            ("content", ChangeKind::Edited),
            ("dir-to-sub", ChangeKind::Submodule),
            ("dir-to-sub/a", ChangeKind::File),
            ("link", ChangeKind::Edited),
            ("mode", ChangeKind::Edited),
            ("new-name", ChangeKind::File),
            ("old-name", ChangeKind::File),
            ("sub", ChangeKind::Submodule),
            ("sub-to-dir", ChangeKind::Submodule),
            ("sub-to-dir/a", ChangeKind::File),
            ("sub-to-file", ChangeKind::Submodule),
        ];
        let expected = expected.map(|(path, kind)| (path.to_owned(), kind));
        assert_eq!(compared(&before, &after), expected);
        assert_eq!(compared(&after, &before), expected);
        assert_eq!(compared(&before, &before), []);
    }

    #[test]
    fn paths_that_decode_to_the_same_text_do_not_hide_each_other() {
        let before = [
            ("\u{fffd}", FileMode::File, "1"),
            ("\u{fffd}", FileMode::File, "2"),
        ];
        let after = [
            ("\u{fffd}", FileMode::File, "1"),
            ("\u{fffd}", FileMode::File, "3"),
        ];
        assert_eq!(
            compared(&before, &after),
            [("\u{fffd}".to_owned(), ChangeKind::Edited)]
        );
    }

    #[test]
    fn only_subdirectories_that_differ_are_returned() {
        let mut before = entries(&[
            ("a", FileMode::Tree, "1"),
            ("b", FileMode::Tree, "1"),
            ("f", FileMode::File, "1"),
            ("gone", FileMode::Tree, "1"),
            ("turns", FileMode::Tree, "1"),
        ]);
        let mut after = entries(&[
            ("a", FileMode::Tree, "1"),
            ("b", FileMode::Tree, "2"),
            ("f", FileMode::File, "1"),
            ("new", FileMode::Tree, "1"),
            ("turns", FileMode::File, "7"),
        ]);
        let pair = |dir: &str, before: Option<&str>, after: Option<&str>| TreePair {
            dir: dir.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(
            differing_subdirectories("top", &mut before, &mut after),
            [
                pair("top/b", Some("1"), Some("2")),
                pair("top/gone", Some("1"), None),
                pair("top/new", None, Some("1")),
                pair("top/turns", Some("1"), None),
            ]
        );
        let mut changes = ChangeSet::default();
        changes.compare("top", &mut before, &mut after);
        let changes = changes.into_vec();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].path, "top/turns");
    }

    #[test]
    fn modes_are_normalized_as_git_does() {
        for (octal, mode) in [
            ("100644", Some(FileMode::File)),
            ("100664", Some(FileMode::File)),
            ("100755", Some(FileMode::Executable)),
            ("100775", Some(FileMode::Executable)),
            ("120000", Some(FileMode::Link)),
            ("160000", Some(FileMode::Submodule)),
            ("040000", Some(FileMode::Tree)),
            ("40000", Some(FileMode::Tree)),
            ("file", None),
        ] {
            assert_eq!(FileMode::parse(octal), mode, "{octal}");
        }
    }
}
