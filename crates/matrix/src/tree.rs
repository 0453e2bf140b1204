//! The files of a repository, and its symbolic links.

use std::collections::{BTreeMap, BTreeSet};

/// What is in the working copy and not ignored by Git.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// In order, links among them.
    files: Vec<String>,
    links: BTreeMap<String, String>,
    /// Folders that hold a commit of another repository; what is in them is not among the files.
    submodules: BTreeSet<String>,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Without links; `None` when it leads out of the repository, or nowhere.
    pub path: Option<String>,
    /// The links on the way.
    pub links: Vec<String>,
}

/// As Linux has it: more are a loop (ELOOP).
const MOST_LINKS: usize = 40;

impl Tree {
    /// Of paths in any order, of links by what they say, and of submodules.
    pub fn new(
        mut files: Vec<String>,
        links: BTreeMap<String, String>,
        submodules: BTreeSet<String>,
    ) -> Self {
        files.sort_unstable();
        files.dedup();
        Self {
            files,
            links,
            submodules,
        }
    }

    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The files below a folder, by their paths from the root.
    pub fn below(&self, folder: &str) -> &[String] {
        below(&self.files, folder, |file| file)
    }

    pub fn has_file(&self, path: &str) -> bool {
        self.files
            .binary_search_by(|file| file.as_str().cmp(path))
            .is_ok()
    }

    pub fn submodules(&self) -> impl Iterator<Item = &str> {
        self.submodules.iter().map(String::as_str)
    }

    /// Whether a path is a submodule's, or in one.
    pub fn is_in_submodule(&self, path: &str) -> bool {
        self.submodules().any(|module| within(module, path).is_some())
    }

    /// The links below a folder, by their paths from there.
    pub fn links_below(&self, folder: &str) -> BTreeMap<String, String> {
        let from = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let links = self.links.range(from.clone()..);
        let links = links.map_while(|(path, to)| Some((path.strip_prefix(&from)?, to)));
        links.map(|(path, to)| (path.to_owned(), to.clone())).collect()
    }

    /// Follows links as the operating system does: part by part, `..` after the link before it.
    pub fn resolve(&self, path: &str) -> Resolved {
        let mut links = Vec::new();
        let path = self.walk(path, &mut links);
        Resolved { path, links }
    }

    fn walk(&self, path: &str, links: &mut Vec<String>) -> Option<String> {
        let mut left: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut walked = String::new();
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." if walked.is_empty() => return None,
                ".." => {
                    walked.truncate(walked.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let here = join(&walked, &part);
            let Some(to) = self.links.get(&here) else {
                walked = here;
                continue;
            };
            links.push(here);
            if to.starts_with('/') || links.len() > MOST_LINKS {
                return None;
            }
            left.extend(to.rsplit('/').map(str::to_owned));
        }
        Some(walked)
    }
}

/// The part of what is in the order of paths that lies below a folder.
pub fn below<'a, T>(sorted: &'a [T], folder: &str, path: impl Fn(&T) -> &str) -> &'a [T] {
    if folder.is_empty() {
        return sorted;
    }
    let from = format!("{folder}/");
    // The character after the slash.
    let to = format!("{folder}0");
    let start = sorted.partition_point(|one| path(one) < from.as_str());
    let end = sorted.partition_point(|one| path(one) < to.as_str());
    sorted.get(start..end).unwrap_or_default()
}

/// A path from the root, of a folder and a path from there.
pub fn join(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("", path) => path.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}

/// A path from a folder, of one from the root; empty for the folder itself, `None` for what is not below it.
pub fn within<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

/// Without empty parts, `.` and `..`, by its letters alone, as Go's `path.Clean`; an absolute path stays one, and one
/// that leads upwards begins with `..`.
pub fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if absolute { format!("/{path}") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(links: &[(&str, &str)]) -> Tree {
        let links = links.iter().map(|(at, to)| ((*at).to_owned(), (*to).to_owned()));
        Tree::new(Vec::new(), links.collect(), BTreeSet::new())
    }

    #[test]
    fn links_are_followed_as_the_system_does() {
        let tree = tree(&[
            ("current", "versions/2"),
            ("versions/2/lib", "../../lib"),
            ("out", "../elsewhere"),
            ("absolute", "/etc"),
            ("loop", "loop"),
        ]);
        let to = |path: &str| tree.resolve(path).path;
        assert_eq!(to("a/./b//c"), Some("a/b/c".into()));
        assert_eq!(to("current/lib/x"), Some("lib/x".into()));
        assert_eq!(tree.resolve("current/lib/x").links, ["current", "versions/2/lib"]);
        // By its letters it would be `x`.
        assert_eq!(to("current/../x"), Some("versions/x".into()));
        assert_eq!(to(""), Some(String::new()));
        for path in ["..", "out", "absolute/x", "loop/x"] {
            assert_eq!(to(path), None, "{path}");
        }
    }

    #[test]
    fn links_below_a_folder_are_seen_from_there() {
        let tree = tree(&[("a/x", "y"), ("a/b/z", "../x"), ("ab", "a"), ("a-b/c", "d")]);
        let below: Vec<(String, String)> = tree.links_below("a").into_iter().collect();
        assert_eq!(below, [("b/z".into(), "../x".into()), ("x".into(), "y".into())]);
        assert_eq!(tree.links_below("").len(), 4);
    }

    #[test]
    fn what_is_below_a_folder_lies_together() {
        let files = ["a", "a-b/c", "a.b", "a/b", "a/b/c", "ab"]
            .map(str::to_owned)
            .to_vec();
        let tree = Tree::new(files, BTreeMap::new(), BTreeSet::new());
        assert_eq!(tree.below("a"), ["a/b", "a/b/c"]);
        assert_eq!(tree.below("").len(), 6);
        assert!(tree.below("b").is_empty());
        assert!(tree.has_file("a.b") && !tree.has_file("a-b"));
    }

    #[test]
    fn a_submodule_has_all_that_is_below_it() {
        let tree = Tree::new(Vec::new(), BTreeMap::new(), BTreeSet::from(["a/b".to_owned()]));
        for (path, inside) in [("a", false), ("a/b", true), ("a/b/c", true), ("a/bc", false)] {
            assert_eq!(tree.is_in_submodule(path), inside, "{path}");
        }
    }

    #[test]
    fn paths_are_cleaned_as_in_go() {
        for (path, cleaned) in [
            (".", ""),
            ("./a//b/", "a/b"),
            ("a/../../b", "../b"),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
    }

    #[test]
    fn a_path_from_a_folder() {
        assert_eq!(within("a", "a/b"), Some("b"));
        assert_eq!(within("a", "a"), Some(""));
        assert_eq!(within("a", "ab"), None);
        assert_eq!(within("", "a"), Some("a"));
    }
}
