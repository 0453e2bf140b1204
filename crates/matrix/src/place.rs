//! Where a path of a definition leads: into the repository, or out of it.

use super::tree::{Resolved, Tree, clean, join};

/// The folders by which a definition's paths are read.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Where the repository lies, as an absolute path without links.
    pub root: &'a str,
    /// Where buildx runs, from there; without links.
    pub workdir: &'a str,
}

impl Place<'_> {
    /// A path as buildx takes it, from the repository's root: absolute ones and those from the working folder. `None`
    /// when it leads out of the repository.
    pub fn resolve(&self, path: &str, tree: &Tree) -> Option<Resolved> {
        let path = self.absolute(path);
        let inside = path.strip_prefix(self.root)?;
        if !inside.is_empty() && !inside.starts_with('/') && !self.root.ends_with('/') {
            return None;
        }
        Some(tree.resolve(inside))
    }

    /// Cleaned by its letters. A `..` behind a link is meant otherwise, but buildx cleans as well (`toBuildOpt` in
    /// bake/bake.go).
    fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            return clean(path);
        }
        clean(&format!("{}/{}", self.root, join(self.workdir, path)))
    }
}

/// Whether a context is somewhere else, by its letters (util/urlutil of docker/buildx; gitutil and dfgitutil of BuildKit):
/// a URL, Git's `user@host:path`, or `github.com/…`.
pub fn is_remote(context: &str) -> bool {
    let scp = context
        .split_once(':')
        .is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
    scp || context.contains("://") || context.starts_with("github.com/")
}

/// Of `oci-layout://PATH[:TAG][@DIGEST]`, the path (util/ocilayout of docker/buildx).
pub fn oci_layout(context: &str) -> Option<&str> {
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
    fn paths_are_seen_from_the_root() {
        let links = BTreeMap::from([("app".to_owned(), "services/app".to_owned())]);
        let tree = Tree::new(Vec::new(), links, BTreeSet::new());
        let place = Place {
            root: "/work/shop",
            workdir: "deploy",
        };
        let path = |path: &str| place.resolve(path, &tree)?.path;
        assert_eq!(path("."), Some("deploy".into()));
        assert_eq!(path("../app/src"), Some("services/app/src".into()));
        assert_eq!(path("/work/shop/x"), Some("x".into()));
        assert_eq!(path("../../shop/x"), Some("x".into()));
        assert_eq!(path(".."), Some(String::new()));
        for outside in ["../..", "/work/shopping", "/work", "../../other/x"] {
            assert_eq!(place.resolve(outside, &tree), None, "{outside}");
        }
        let top = Place {
            root: "/",
            workdir: "",
        };
        assert_eq!(top.resolve("/x", &tree).and_then(|r| r.path), Some("x".into()));
    }

    #[test]
    fn remote_contexts_are_told_from_folders() {
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
    fn an_oci_layout_is_a_folder() {
        for (context, path) in [
            ("oci-layout://out/base", "out/base"),
            ("oci-layout:///tmp/base:v1", "/tmp/base"),
            ("oci-layout://out:v1@sha256:abc", "out"),
            ("oci-layout://C:/x", "C:/x"),
        ] {
            assert_eq!(oci_layout(context), Some(path));
        }
        assert_eq!(oci_layout("docker-image://x"), None);
    }
}
