//! The files of a repository, and its symbolic links.

use std::collections::{BTreeMap, BTreeSet};

/// The files of the working tree that Git does not ignore.
#[derive(Debug, Clone, Default)]
pub struct FileTree {
    /// Sorted. Symbolic links are among them.
    files: Vec<String>,
    /// The target of each symbolic link.
    links: BTreeMap<String, String>,
    /// Directories that hold a commit of another repository. Their files are not in `files`.
    submodules: BTreeSet<String>,
}

/// A path after symbolic links were followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPath {
    /// The path without symbolic links; `None` if it is outside the repository, or a link loops.
    pub path: Option<String>,
    /// The links that were followed.
    pub links: Vec<String>,
}

/// The most links that one path may follow. Linux has the same limit (ELOOP).
const MAX_LINKS: usize = 40;

impl FileTree {
    /// Creates a tree from paths in any order, the targets of symbolic links, and submodules.
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

    /// Returns the files below a directory, as paths from the root.
    pub fn below(&self, dir: &str) -> &[String] {
        below(&self.files, dir, |file| file)
    }

    pub fn has_file(&self, path: &str) -> bool {
        self.files
            .binary_search_by(|file| file.as_str().cmp(path))
            .is_ok()
    }

    pub fn submodules(&self) -> impl Iterator<Item = &str> {
        self.submodules.iter().map(String::as_str)
    }

    /// Returns whether a path is a submodule or inside one.
    pub(crate) fn is_in_submodule(&self, path: &str) -> bool {
        self.submodules().any(|module| within(module, path).is_some())
    }

    /// Returns the symbolic links below a directory, as paths relative to it.
    pub(crate) fn links_below(&self, dir: &str) -> BTreeMap<String, String> {
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let links = self.links.range(prefix.clone()..);
        let links = links.map_while(|(path, to)| Some((path.strip_prefix(&prefix)?, to)));
        links.map(|(path, to)| (path.to_owned(), to.clone())).collect()
    }

    /// Follows symbolic links as the operating system does: component by component, with `..` applied after the link
    /// before it.
    pub fn resolve(&self, path: &str) -> ResolvedPath {
        let mut links = Vec::new();
        let path = self.follow(path, &mut links);
        ResolvedPath { path, links }
    }

    fn follow(&self, path: &str, links: &mut Vec<String>) -> Option<String> {
        let mut remaining: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut resolved = String::new();
        while let Some(component) = remaining.pop() {
            match component.as_str() {
                "" | "." => continue,
                ".." if resolved.is_empty() => return None,
                ".." => {
                    resolved.truncate(resolved.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let current = join(&resolved, &component);
            let Some(to) = self.links.get(&current) else {
                resolved = current;
                continue;
            };
            links.push(current);
            if to.starts_with('/') || links.len() > MAX_LINKS {
                return None;
            }
            remaining.extend(to.rsplit('/').map(str::to_owned));
        }
        Some(resolved)
    }
}

/// Returns the items below a directory, of items that are sorted by path.
pub(crate) fn below<'a, T>(sorted: &'a [T], dir: &str, path: impl Fn(&T) -> &str) -> &'a [T] {
    if dir.is_empty() {
        return sorted;
    }
    let from = format!("{dir}/");
    // `0` is the character after the slash.
    let to = format!("{dir}0");
    let start = sorted.partition_point(|one| path(one) < from.as_str());
    let end = sorted.partition_point(|one| path(one) < to.as_str());
    sorted.get(start..end).unwrap_or_default()
}

/// Joins a directory and a path relative to it.
pub(crate) fn join(dir: &str, path: &str) -> String {
    match (dir, path) {
        ("", path) => path.to_owned(),
        (dir, "") => dir.to_owned(),
        (dir, path) => format!("{dir}/{path}"),
    }
}

/// Returns a path relative to a directory: empty for the directory itself, `None` if the path is not below it.
pub fn within<'a>(dir: &str, path: &'a str) -> Option<&'a str> {
    if dir.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(dir)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

/// Removes empty components, `.` and `..` lexically, as Go's `path.Clean` does, but returns "" where Go returns `.`. An
/// absolute path stays absolute; a relative path that leads upwards begins with `..`.
pub(crate) fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut components: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." if components.last().is_some_and(|last| *last != "..") => drop(components.pop()),
            ".." if absolute => {}
            component => components.push(component),
        }
    }
    let path = components.join("/");
    if absolute { format!("/{path}") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(links: &[(&str, &str)]) -> FileTree {
        let links = links.iter().map(|(at, to)| ((*at).to_owned(), (*to).to_owned()));
        FileTree::new(Vec::new(), links.collect(), BTreeSet::new())
    }

    #[test]
    fn links_are_followed_as_the_operating_system_does() {
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
        // Lexically it would be `x`.
        assert_eq!(to("current/../x"), Some("versions/x".into()));
        assert_eq!(to(""), Some(String::new()));
        for path in ["..", "out", "absolute/x", "loop/x"] {
            assert_eq!(to(path), None, "{path}");
        }
    }

    #[test]
    fn links_below_a_directory_are_relative_to_it() {
        let tree = tree(&[("a/x", "y"), ("a/b/z", "../x"), ("ab", "a"), ("a-b/c", "d")]);
        let below: Vec<(String, String)> = tree.links_below("a").into_iter().collect();
        assert_eq!(below, [("b/z".into(), "../x".into()), ("x".into(), "y".into())]);
        assert_eq!(tree.links_below("").len(), 4);
    }

    #[test]
    fn files_below_a_directory_are_found_by_prefix() {
        let files = ["a", "a-b/c", "a.b", "a/b", "a/b/c", "ab"]
            .map(str::to_owned)
            .to_vec();
        let tree = FileTree::new(files, BTreeMap::new(), BTreeSet::new());
        assert_eq!(tree.below("a"), ["a/b", "a/b/c"]);
        assert_eq!(tree.below("").len(), 6);
        assert!(tree.below("b").is_empty());
        assert!(tree.has_file("a.b") && !tree.has_file("a-b"));
    }

    #[test]
    fn a_submodule_contains_every_path_below_it() {
        let tree = FileTree::new(Vec::new(), BTreeMap::new(), BTreeSet::from(["a/b".to_owned()]));
        for (path, inside) in [("a", false), ("a/b", true), ("a/b/c", true), ("a/bc", false)] {
            assert_eq!(tree.is_in_submodule(path), inside, "{path}");
        }
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
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
    fn paths_are_made_relative_to_a_directory() {
        assert_eq!(within("a", "a/b"), Some("b"));
        assert_eq!(within("a", "a"), Some(""));
        assert_eq!(within("a", "ab"), None);
        assert_eq!(within("", "a"), Some("a"));
    }
}
