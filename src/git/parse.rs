//! Parses the output of git with `-z`: records that end with a NUL, and paths without quoting.

use anyhow::Context;

use super::tree::{ChangeSet, FileKind, FileMode, TreeEntry, WorkTreeFile};

fn records(output: &[u8]) -> impl Iterator<Item = String> {
    let output = output.strip_suffix(b"\0").unwrap_or(output);
    let parts = output.split(|byte| *byte == 0);
    // Empty output has no record.
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned())
}

/// Parses a list of paths.
pub(super) fn paths(output: &[u8]) -> Vec<String> {
    records(output).collect()
}

/// Parses `:old-mode new-mode old-id new-id status`, path (git-diff-tree, "Raw output format").
pub(super) fn raw_changes(output: &[u8], changes: &mut ChangeSet) -> anyhow::Result<()> {
    let mut records = records(output);
    while let Some(head) = records.next() {
        let unexpected = || format!("cannot parse a difference that git printed: {head}");
        let path = records.next().with_context(unexpected)?;
        let mut fields = head.strip_prefix(':').with_context(unexpected)?.splitn(5, ' ');
        let mut side = || {
            let mode = fields.next()?;
            // The mode of a side that does not have the path.
            (mode != "000000").then(|| FileMode::parse(mode))
        };
        for mode in [side(), side()].into_iter().flatten() {
            let mode = mode.with_context(unexpected)?;
            changes.add_entry(
                "",
                &TreeEntry {
                    path: path.clone(),
                    mode,
                    id: String::new(),
                },
            );
        }
    }
    Ok(())
}

/// Parses `mode type id<TAB>path` (git-ls-tree).
pub(super) fn tree(output: &[u8]) -> anyhow::Result<Vec<TreeEntry>> {
    let entry = |record: &str| {
        let (head, path) = record.split_once('\t')?;
        let mut fields = head.split(' ');
        let mode = FileMode::parse(fields.next()?)?;
        let id = fields.nth(1)?.to_owned();
        let path = path.to_owned();
        Some(TreeEntry { path, mode, id })
    };
    let read = |record: String| {
        entry(&record).with_context(|| format!("cannot parse a tree entry that git printed: {record}"))
    };
    records(output).map(read).collect()
}

/// Parses `mode id stage<TAB>path` (git-ls-files, "OUTPUT").
pub(super) fn index(output: &[u8]) -> anyhow::Result<Vec<WorkTreeFile>> {
    let file = |record: &str| {
        let (head, path) = record.split_once('\t')?;
        let kind = match FileMode::parse(head.split(' ').next()?)? {
            FileMode::File | FileMode::Executable => FileKind::File,
            FileMode::Link => FileKind::Link,
            // The index has a directory only if it is sparse and not expanded.
            FileMode::Submodule | FileMode::Tree => FileKind::Submodule,
        };
        let path = path.trim_end_matches('/').to_owned();
        Some(WorkTreeFile { path, kind })
    };
    let read = |record: String| {
        file(&record).with_context(|| format!("cannot parse an index entry that git printed: {record}"))
    };
    records(output).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::changes::{Change, ChangeKind};

    #[test]
    fn differences_are_parsed_with_the_kind_of_change() {
        let id = "0".repeat(40);
        let output = format!(
            ":100644 100755 {id} {id} M\0a \nb\0:000000 160000 {id} {id} A\0sub\0:160000 000000 {id} {id} D\0old\0\
             :120000 100644 {id} {id} T\0link\0"
        );
        let mut changes = ChangeSet::default();
        raw_changes(output.as_bytes(), &mut changes).expect("differences");
        let change = |path: &str, kind| Change {
            path: path.to_owned(),
            kind,
        };
        assert_eq!(
            changes.into_vec(),
            [
                change("a \nb", ChangeKind::Edited),
                change("link", ChangeKind::Edited),
                change("old", ChangeKind::Submodule),
                change("sub", ChangeKind::Submodule),
            ]
        );
    }

    #[test]
    fn invalid_output_is_an_error() {
        for output in ["path\0", ":100644 100755 1 2 M\0", ":10x 100755 1 2 M\0a\0"] {
            let read = raw_changes(output.as_bytes(), &mut ChangeSet::default());
            assert!(read.is_err(), "{output}");
        }
        assert!(tree(b"100644 blob 1 a\0").is_err());
        assert!(index(b"100644 1 0 a\0").is_err());
    }

    #[test]
    fn entries_may_have_tabs_in_their_paths() {
        let entries = tree(b"100644 blob 12\ta\tb\x00040000 tree 34\tc\0").expect("entries");
        let entry = |path: &str, mode, id: &str| TreeEntry {
            path: path.to_owned(),
            mode,
            id: id.to_owned(),
        };
        assert_eq!(
            entries,
            [
                entry("a\tb", FileMode::File, "12"),
                entry("c", FileMode::Tree, "34")
            ]
        );
        assert_eq!(tree(b"").expect("nothing"), []);
    }
}
