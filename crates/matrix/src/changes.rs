//! What differs between two commits.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry::{Occupied, Vacant};

/// A path that differs, relative to the repository's root: made, deleted, changed in content or mode, or turned from
/// one kind of entry into another. A rename is two of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// With `/` between its parts, and none at its ends.
    pub path: String,
    pub kind: Kind,
}

/// What stands at that path before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A file or a symbolic link, both before and after.
    Edited,
    /// A file or a symbolic link that came or went, as far as one knows.
    File,
    /// A commit of another repository: all that is below this path may differ.
    Submodule,
    /// A folder that came or went with its files, which Git does not say ([`super::folders`]).
    Folder,
}

/// What a tree of Git says of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Relative to the tree that was read.
    pub path: String,
    pub mode: Mode,
    /// Of the object: a hash of the content.
    pub id: String,
}

/// The modes that Git keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    File,
    Executable,
    Link,
    Submodule,
    Tree,
}

impl Mode {
    /// Of octal digits. Old trees have others, such as 100664, which Git reads as one of these (`canon_mode` in its
    /// object.h) and GitHub hands on as they are.
    pub fn of(octal: &str) -> Option<Self> {
        let bits = u32::from_str_radix(octal, 8).ok()?;
        Some(match bits & 0o170_000 {
            0o100_000 if bits & 0o100 == 0 => Self::File,
            0o100_000 => Self::Executable,
            0o120_000 => Self::Link,
            0o040_000 => Self::Tree,
            _ => Self::Submodule,
        })
    }

    fn kind(self) -> Kind {
        match self {
            Self::Submodule => Kind::Submodule,
            Self::File | Self::Executable | Self::Link | Self::Tree => Kind::File,
        }
    }
}

/// One change for each path, in order.
#[derive(Debug, Default)]
pub struct Changes(BTreeMap<String, Kind>);

impl Changes {
    /// What stands at a path on one side; called again for the other side, if something stands there as well. A path
    /// that was or is a submodule is one, whatever else it was or is.
    pub fn add(&mut self, path: String, kind: Kind) {
        match self.0.entry(path) {
            Vacant(new) => drop(new.insert(kind)),
            Occupied(mut known) => {
                let both = match (kind, *known.get()) {
                    (Kind::File, Kind::File) => Kind::Edited,
                    (one, other) => one.max(other),
                };
                known.insert(both);
            }
        }
    }

    pub fn add_entry(&mut self, folder: &str, entry: &Entry) {
        self.add(join(folder, &entry.path), entry.mode.kind());
    }

    /// What one listing of a folder has and the other does not have like that.
    ///
    /// Listings are sets of entries and not maps from paths: two paths that are no UTF-8 may look alike.
    pub fn compare(&mut self, folder: &str, before: &mut [Entry], after: &mut [Entry]) {
        before.sort_unstable();
        after.sort_unstable();
        let missing = |of: &[Entry], from: &[Entry], changes: &mut Self| {
            for entry in of.iter().filter(|entry| from.binary_search(entry).is_err()) {
                changes.add_entry(folder, entry);
            }
        };
        missing(before, after, self);
        missing(after, before, self);
    }

    pub fn into_vec(self) -> Vec<Change> {
        let changes = self.0.into_iter();
        changes.map(|(path, kind)| Change { path, kind }).collect()
    }
}

/// A folder that has to be looked into: the trees that it was and is, if it was and is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Pair {
    pub folder: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Of the listings of a folder that do not go deeper: the folders in it that differ, taken out of both.
pub fn differing_folders(folder: &str, before: &mut Vec<Entry>, after: &mut Vec<Entry>) -> Vec<Pair> {
    let mut found: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    for tree in before.extract_if(.., |entry| entry.mode == Mode::Tree) {
        found.entry(tree.path).or_default().0 = Some(tree.id);
    }
    for tree in after.extract_if(.., |entry| entry.mode == Mode::Tree) {
        found.entry(tree.path).or_default().1 = Some(tree.id);
    }
    let differing = found.into_iter().filter(|(_, (before, after))| before != after);
    differing
        .map(|(name, (before, after))| Pair {
            folder: join(folder, &name),
            before,
            after,
        })
        .collect()
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(&str, Mode, &str)]) -> Vec<Entry> {
        let entry = |(path, mode, id): &(&str, Mode, &str)| Entry {
            path: (*path).to_owned(),
            mode: *mode,
            id: (*id).to_owned(),
        };
        of.iter().map(entry).collect()
    }

    fn compared(before: &[(&str, Mode, &str)], after: &[(&str, Mode, &str)]) -> Vec<(String, Kind)> {
        let mut changes = Changes::default();
        changes.compare("", &mut entries(before), &mut entries(after));
        let changes = changes.into_vec().into_iter();
        changes.map(|change| (change.path, change.kind)).collect()
    }

    #[test]
    fn each_way_to_differ_is_a_change() {
        let before = [
            ("content", Mode::File, "1"),
            ("same", Mode::File, "1"),
            ("mode", Mode::File, "1"),
            ("old-name", Mode::File, "9"),
            ("link", Mode::Link, "1"),
            ("becomes-link", Mode::File, "1"),
            ("sub", Mode::Submodule, "1"),
            ("sub-to-folder", Mode::Submodule, "1"),
            ("folder-to-sub/a", Mode::File, "1"),
            ("sub-to-file", Mode::Submodule, "1"),
            ("same-sub", Mode::Submodule, "1"),
        ];
        let after = [
            ("content", Mode::File, "2"),
            ("same", Mode::File, "1"),
            ("mode", Mode::Executable, "1"),
            ("new-name", Mode::File, "9"),
            ("link", Mode::Link, "2"),
            ("becomes-link", Mode::Link, "1"),
            ("sub", Mode::Submodule, "2"),
            ("sub-to-folder/a", Mode::File, "1"),
            ("folder-to-sub", Mode::Submodule, "1"),
            ("sub-to-file", Mode::File, "1"),
            ("same-sub", Mode::Submodule, "1"),
        ];
        let expected = [
            ("becomes-link", Kind::Edited),
            ("content", Kind::Edited),
            ("folder-to-sub", Kind::Submodule),
            ("folder-to-sub/a", Kind::File),
            ("link", Kind::Edited),
            ("mode", Kind::Edited),
            ("new-name", Kind::File),
            ("old-name", Kind::File),
            ("sub", Kind::Submodule),
            ("sub-to-file", Kind::Submodule),
            ("sub-to-folder", Kind::Submodule),
            ("sub-to-folder/a", Kind::File),
        ];
        let expected = expected.map(|(path, kind)| (path.to_owned(), kind));
        assert_eq!(compared(&before, &after), expected);
        assert_eq!(compared(&after, &before), expected);
        assert_eq!(compared(&before, &before), []);
    }

    #[test]
    fn paths_that_look_alike_do_not_hide_each_other() {
        let before = [("\u{fffd}", Mode::File, "1"), ("\u{fffd}", Mode::File, "2")];
        let after = [("\u{fffd}", Mode::File, "1"), ("\u{fffd}", Mode::File, "3")];
        assert_eq!(compared(&before, &after), [("\u{fffd}".to_owned(), Kind::Edited)]);
    }

    #[test]
    fn only_folders_that_differ_are_looked_into() {
        let mut before = entries(&[
            ("a", Mode::Tree, "1"),
            ("b", Mode::Tree, "1"),
            ("f", Mode::File, "1"),
            ("gone", Mode::Tree, "1"),
            ("turns", Mode::Tree, "1"),
        ]);
        let mut after = entries(&[
            ("a", Mode::Tree, "1"),
            ("b", Mode::Tree, "2"),
            ("f", Mode::File, "1"),
            ("new", Mode::Tree, "1"),
            ("turns", Mode::File, "7"),
        ]);
        let pair = |folder: &str, before: Option<&str>, after: Option<&str>| Pair {
            folder: folder.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(
            differing_folders("top", &mut before, &mut after),
            [
                pair("top/b", Some("1"), Some("2")),
                pair("top/gone", Some("1"), None),
                pair("top/new", None, Some("1")),
                pair("top/turns", Some("1"), None),
            ]
        );
        let mut changes = Changes::default();
        changes.compare("top", &mut before, &mut after);
        let changes = changes.into_vec();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].path, "top/turns");
    }

    #[test]
    fn modes_are_those_that_git_keeps() {
        for (octal, mode) in [
            ("100644", Some(Mode::File)),
            ("100664", Some(Mode::File)),
            ("100755", Some(Mode::Executable)),
            ("100775", Some(Mode::Executable)),
            ("120000", Some(Mode::Link)),
            ("160000", Some(Mode::Submodule)),
            ("040000", Some(Mode::Tree)),
            ("40000", Some(Mode::Tree)),
            ("file", None),
        ] {
            assert_eq!(Mode::of(octal), mode, "{octal}");
        }
    }
}
