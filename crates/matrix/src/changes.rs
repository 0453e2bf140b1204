//! What differs between two states of a repository.

/// A path that differs, relative to the repository's root: created, deleted, changed in content or mode, or turned from
/// one kind of entry into another. A rename is two changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Separated by `/`, without a `/` at its start or end.
    pub path: String,
    pub kind: ChangeKind,
}

/// What the path is before or after the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// A file or a symbolic link, both before and after.
    Edited,
    /// A file or a symbolic link that was created or deleted, as far as is known.
    File,
    /// A commit of another repository: any path below may differ.
    Submodule,
    /// A directory that was created or deleted with its files. Git does not report these
    /// ([`super::directories`] does).
    Directory,
}
