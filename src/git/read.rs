//! What git prints with `-z`: records that end with a NUL, and paths as they are.

use anyhow::Context;

use super::{File, FileKind};
use crate::matrix::changes::{Changes, Entry, Mode};

fn records(output: &[u8]) -> impl Iterator<Item = String> {
    let output = output.strip_suffix(b"\0").unwrap_or(output);
    let parts = output.split(|byte| *byte == 0);
    // Nothing is no record.
    let parts = parts.filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned())
}

pub(super) fn paths(output: &[u8]) -> Vec<String> {
    records(output).collect()
}

/// `:old-mode new-mode old-id new-id status`, path (git-diff-tree, "Raw output format").
pub(super) fn raw_changes(output: &[u8], changes: &mut Changes) -> anyhow::Result<()> {
    let mut records = records(output);
    while let Some(head) = records.next() {
        let unexpected = || format!("git printed a difference that is none: {head}");
        let path = records.next().with_context(unexpected)?;
        let mut fields = head.strip_prefix(':').with_context(unexpected)?.splitn(5, ' ');
        let mut side = || {
            let mode = fields.next()?;
            // Of a side where there is nothing.
            (mode != "000000").then(|| Mode::of(mode))
        };
        for mode in [side(), side()].into_iter().flatten() {
            let mode = mode.with_context(unexpected)?;
            changes.add_entry(
                "",
                &Entry {
                    path: path.clone(),
                    mode,
                    id: String::new(),
                },
            );
        }
    }
    Ok(())
}

/// `mode type id<TAB>path` (git-ls-tree).
pub(super) fn tree(output: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let entry = |record: &str| {
        let (head, path) = record.split_once('\t')?;
        let mut fields = head.split(' ');
        let mode = Mode::of(fields.next()?)?;
        let id = fields.nth(1)?.to_owned();
        let path = path.to_owned();
        Some(Entry { path, mode, id })
    };
    let read = |record: String| {
        entry(&record).with_context(|| format!("git printed an entry that is none: {record}"))
    };
    records(output).map(read).collect()
}

/// `mode id stage<TAB>path` (git-ls-files, "OUTPUT").
pub(super) fn index(output: &[u8]) -> anyhow::Result<Vec<File>> {
    let file = |record: &str| {
        let (head, path) = record.split_once('\t')?;
        let kind = match Mode::of(head.split(' ').next()?)? {
            Mode::File | Mode::Executable => FileKind::File,
            Mode::Link => FileKind::Link,
            // A folder is there only where a sparse index is not taken apart.
            Mode::Submodule | Mode::Tree => FileKind::Submodule,
        };
        let path = path.trim_end_matches('/').to_owned();
        Some(File { path, kind })
    };
    let read =
        |record: String| file(&record).with_context(|| format!("git printed a file that is none: {record}"));
    records(output).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::changes::{Change, Kind};

    #[test]
    fn differences_are_read_with_what_stood_there() {
        let id = "0".repeat(40);
        let output = format!(
            ":100644 100755 {id} {id} M\0a \nb\0:000000 160000 {id} {id} A\0sub\0:160000 000000 {id} {id} D\0old\0\
             :120000 100644 {id} {id} T\0link\0"
        );
        let mut changes = Changes::default();
        raw_changes(output.as_bytes(), &mut changes).expect("differences");
        let change = |path: &str, kind| Change {
            path: path.to_owned(),
            kind,
        };
        assert_eq!(
            changes.into_vec(),
            [
                change("a \nb", Kind::Edited),
                change("link", Kind::Edited),
                change("old", Kind::Submodule),
                change("sub", Kind::Submodule),
            ]
        );
    }

    #[test]
    fn what_is_no_difference_is_an_error() {
        for output in ["path\0", ":100644 100755 1 2 M\0", ":10x 100755 1 2 M\0a\0"] {
            let read = raw_changes(output.as_bytes(), &mut Changes::default());
            assert!(read.is_err(), "{output}");
        }
        assert!(tree(b"100644 blob 1 a\0").is_err());
        assert!(index(b"100644 1 0 a\0").is_err());
    }

    #[test]
    fn entries_keep_tabs_in_their_paths() {
        let entries = tree(b"100644 blob 12\ta\tb\x00040000 tree 34\tc\0").expect("entries");
        let entry = |path: &str, mode, id: &str| Entry {
            path: path.to_owned(),
            mode,
            id: id.to_owned(),
        };
        assert_eq!(
            entries,
            [entry("a\tb", Mode::File, "12"), entry("c", Mode::Tree, "34")]
        );
        assert_eq!(tree(b"").expect("nothing"), []);
    }
}
