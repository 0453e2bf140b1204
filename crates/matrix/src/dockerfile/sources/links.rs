//! Follows symbolic links in the path of a source (`getFollowLinks` and `wildcardPrefix` in BuildKit's
//! cache/contenthash/checksum.go).

use std::collections::{BTreeMap, BTreeSet};

use super::root::SourceRoot;
use crate::glob::Glob;
use crate::ignore::clean;
use crate::tree::within;

/// The most links that BuildKit follows.
const MAX_LINKS: usize = 255;

/// The most roots that links may lead to through wildcards. With more, the whole context counts as read.
const MAX_ROOTS: usize = 1000;

type Links = BTreeMap<String, String>;

/// Where the links lead.
#[derive(Debug, Default)]
pub struct FollowedLinks {
    pub roots: Vec<SourceRoot>,
    /// The links that were followed.
    pub links: BTreeSet<String>,
}

/// Returns the roots that a source reaches through symbolic links.
pub fn follow(root: &SourceRoot, links: &Links) -> FollowedLinks {
    let mut followed = FollowedLinks::default();
    let mut seen = BTreeSet::new();
    let mut queue = vec![(root.path.clone(), root.pattern.clone())];
    while let Some((path, pattern)) = queue.pop() {
        for clean_lexically in [false, true] {
            let Some(path) = resolve(&path, links, clean_lexically, &mut followed.links) else {
                continue;
            };
            if !seen.insert((path.clone(), pattern.clone())) {
                continue;
            }
            if seen.len() > MAX_ROOTS {
                followed
                    .roots
                    .push(SourceRoot::from_parts(String::new(), String::new()));
                return followed;
            }
            queue.extend(matching_links(&path, &pattern, links));
            followed.roots.push(SourceRoot::from_parts(path, pattern.clone()));
        }
    }
    followed
}

/// Returns the path without symbolic links, and adds the followed links to `passed`. `None` if there are too many. For
/// `a/..` in a link's target, BuildKit's checksums follow `a`, while its client cleans the path lexically.
fn resolve(
    path: &str,
    links: &Links,
    clean_lexically: bool,
    passed: &mut BTreeSet<String>,
) -> Option<String> {
    let mut at = String::new();
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut count = 0;
    while let Some(component) = rest.pop() {
        match component.as_str() {
            "" | "." => continue,
            ".." => at.truncate(at.rfind('/').unwrap_or(0)),
            component => {
                let parent = at.len();
                if !at.is_empty() {
                    at.push('/');
                }
                at.push_str(component);
                let Some(text) = links.get(&at) else { continue };
                passed.insert(at.clone());
                count += 1;
                if count > MAX_LINKS {
                    return None;
                }
                at.truncate(if text.starts_with('/') { 0 } else { parent });
                let text = if clean_lexically {
                    clean(text)
                } else {
                    text.clone()
                };
                rest.extend(text.split('/').rev().map(str::to_owned));
            }
        }
    }
    Some(at)
}

/// Returns the links below a path that match the pattern or its first components, with the rest of the pattern. BuildKit
/// follows only links that match all of it, but its client sends both.
fn matching_links(path: &str, pattern: &str, links: &Links) -> Vec<(String, String)> {
    let components: Vec<&str> = pattern.split('/').collect();
    let Some(globs) = components
        .iter()
        .map(|component| Glob::new(component))
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
            let names: Vec<&str> = within(path, link)?.split('/').collect();
            let left = components.get(names.len()..)?;
            let same = globs.iter().zip(&names).all(|(glob, name)| glob.matches(name));
            same.then(|| (link.clone(), left.join("/")))
        })
        .collect()
}
