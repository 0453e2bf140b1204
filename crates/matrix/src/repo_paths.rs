//! Resolves the paths of a definition to paths in the repository.

use super::tree::{FileTree, ResolvedPath, clean, join};

/// The directories that the paths of a definition are relative to.
#[derive(Debug, Clone, Copy)]
pub struct RepoPaths<'a> {
    /// The repository's root: absolute, without symbolic links.
    pub root: &'a str,
    /// The directory in which buildx runs, relative to the root, without symbolic links.
    pub workdir: &'a str,
}

/// A file of the repository that exists and cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {path}: {cause}")]
pub struct ReadError {
    pub path: String,
    pub cause: String,
}

/// Reads a file by its path from the root; `None` if there is no such file.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Option<String>, ReadError>;

impl RepoPaths<'_> {
    /// Resolves a path, absolute or relative to the working directory, to a path from the repository's root. `None` if it
    /// is outside the repository.
    pub fn resolve(&self, path: &str, tree: &FileTree) -> Option<ResolvedPath> {
        let path = self.absolute(path);
        let inside = path.strip_prefix(self.root)?;
        if !inside.is_empty() && !inside.starts_with('/') && !self.root.ends_with('/') {
            return None;
        }
        Some(tree.resolve(inside))
    }

    /// Returns the path as an absolute path, cleaned lexically. That is wrong for a `..` after a symbolic link, but buildx
    /// does the same (`toBuildOpt` in bake/bake.go).
    fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return clean(path);
        }
        clean(&format!("{}/{}", self.root, join(self.workdir, path)))
    }
}

/// Returns whether a context is remote, by its syntax (util/urlutil of docker/buildx; gitutil and dfgitutil of BuildKit):
/// a URL, Git's `user@host:path`, or `github.com/…`.
pub(crate) fn is_remote(context: &str) -> bool {
    let scp = context
        .split_once(':')
        .is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
    scp || context.contains("://") || context.starts_with("github.com/")
}

/// Returns the path of `oci-layout://PATH[:TAG][@DIGEST]` (util/ocilayout of docker/buildx).
pub(crate) fn oci_layout_path(context: &str) -> Option<&str> {
    let path = context.strip_prefix("oci-layout://")?;
    let path = path.split_once("@sha256:").map_or(path, |(path, _)| path);
    Some(match path.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => path,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn paths_are_resolved_from_the_root() {
        let links = BTreeMap::from([("app".to_owned(), "services/app".to_owned())]);
        let tree = FileTree::new(Vec::new(), links, BTreeSet::new());
        let paths = RepoPaths {
            root: "/srv/shop",
            workdir: "deploy",
        };
        let path = |path: &str| paths.resolve(path, &tree)?.path;
        assert_eq!(path("."), Some("deploy".into()));
        assert_eq!(path("../app/src"), Some("services/app/src".into()));
        assert_eq!(path("/srv/shop/x"), Some("x".into()));
        assert_eq!(path("../../shop/x"), Some("x".into()));
        assert_eq!(path(".."), Some(String::new()));
        for outside in ["../..", "/srv/shopping", "/srv", "../../other/x"] {
            assert_eq!(paths.resolve(outside, &tree), None, "{outside}");
        }
        let top = RepoPaths {
            root: "/",
            workdir: "",
        };
        assert_eq!(top.resolve("/x", &tree).and_then(|r| r.path), Some("x".into()));
    }

    #[test]
    fn remote_contexts_are_distinguished_from_directories() {
        for context in [
            "https://github.com/acme/shop.git#main",
            "git@github.com:acme/shop.git",
            "ssh://git@host/x",
            "github.com/acme/shop",
        ] {
            assert!(is_remote(context), "{context}");
        }
        for context in [".", "./a@b/c:d", "libs/common", "a:b"] {
            assert!(!is_remote(context), "{context}");
        }
    }

    #[test]
    fn the_path_of_an_oci_layout_is_a_directory() {
        for (context, path) in [
            ("oci-layout://out/base", "out/base"),
            ("oci-layout:///tmp/base:v1", "/tmp/base"),
            ("oci-layout://out:v1@sha256:abc", "out"),
            ("oci-layout://C:/x", "C:/x"),
        ] {
            assert_eq!(oci_layout_path(context), Some(path));
        }
        assert_eq!(oci_layout_path("docker-image://x"), None);
    }
}
