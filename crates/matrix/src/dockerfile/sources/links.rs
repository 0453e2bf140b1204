//! Symbolic links on the way to a source (`getFollowLinks` and `wildcardPrefix` in BuildKit's
//! cache/contenthash/checksum.go).

use std::collections::{BTreeMap, BTreeSet};

use super::root::{Root, below};
use crate::glob::Glob;
use crate::ignore::clean;

/// BuildKit gives up after as many.
const MOST_LINKS: usize = 255;

/// Links that lead to links by wildcards: beyond as many places everything counts.
const MOST_ROOTS: usize = 1000;

type Links = BTreeMap<String, String>;

/// What is behind the links.
#[derive(Debug, Default)]
pub struct Reached {
    pub roots: Vec<Root>,
    /// The links that were passed.
    pub links: BTreeSet<String>,
}

pub fn reached(root: &Root, links: &Links) -> Reached {
    let mut reached = Reached::default();
    let mut seen = BTreeSet::new();
    let mut todo = vec![(root.path.clone(), root.pattern.clone())];
    while let Some((path, pattern)) = todo.pop() {
        for cleans in [false, true] {
            let Some(path) = resolve(&path, links, cleans, &mut reached.links) else {
                continue;
            };
            if !seen.insert((path.clone(), pattern.clone())) {
                continue;
            }
            if seen.len() > MOST_ROOTS {
                reached.roots.push(Root::of(String::new(), String::new()));
                return reached;
            }
            todo.extend(matched(&path, &pattern, links));
            reached.roots.push(Root::of(path, pattern.clone()));
        }
    }
    reached
}

/// The path without links in it, and the links that it led through. `None` when there are too many. For `a/..` in a
/// link's text BuildKit's checksums look what `a` is, and the client that sends the files does not, but cleans it.
fn resolve(path: &str, links: &Links, cleans: bool, passed: &mut BTreeSet<String>) -> Option<String> {
    let mut at = String::new();
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut count = 0;
    while let Some(part) = rest.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => at.truncate(at.rfind('/').unwrap_or(0)),
            part => {
                let parent = at.len();
                if !at.is_empty() {
                    at.push('/');
                }
                at.push_str(part);
                let Some(text) = links.get(&at) else { continue };
                passed.insert(at.clone());
                count += 1;
                if count > MOST_LINKS {
                    return None;
                }
                at.truncate(if text.starts_with('/') { 0 } else { parent });
                let text = if cleans { clean(text) } else { text.clone() };
                rest.extend(text.split('/').rev().map(str::to_owned));
            }
        }
    }
    Some(at)
}

/// The links that a pattern below a path matches, or that match its start, with what is left of the pattern. BuildKit
/// follows the former and not the latter; its client sends both.
fn matched(path: &str, pattern: &str, links: &Links) -> Vec<(String, String)> {
    let parts: Vec<&str> = pattern.split('/').collect();
    let Some(globs) = parts
        .iter()
        .map(|part| Glob::new(part))
        .collect::<Option<Vec<_>>>()
    else {
        return Vec::new();
    };
    let start = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    let candidates = links
        .range(start.clone()..)
        .take_while(|(link, _)| link.starts_with(&start));
    candidates
        .filter_map(|(link, _)| {
            let names: Vec<&str> = below(link, path)?.split('/').collect();
            let left = parts.get(names.len()..)?;
            let same = globs.iter().zip(&names).all(|(glob, name)| glob.matches(name));
            same.then(|| (link.clone(), left.join("/")))
        })
        .collect()
}
