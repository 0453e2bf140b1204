//! Finds the paths that a few sources may match among many sorted paths, without testing each path.

use std::collections::BTreeSet;

use super::{ResolvedScope, is_in};
use crate::tree::{below, join};

/// Calls the function for each item below a directory that may be read, with its path relative to the directory, until it
/// returns false. Some items are passed more than once. The items must be sorted by path.
pub(super) fn for_each_candidate<'t, T>(
    items: &'t [T],
    dir: &str,
    path: fn(&T) -> &str,
    scope: &ResolvedScope,
    mut found: impl FnMut(&'t T, &str) -> bool,
) {
    let roots = match scope {
        ResolvedScope::All => BTreeSet::from([""]),
        ResolvedScope::Paths(sources) => sources.roots().collect(),
    };
    for root in roots {
        // The root itself, and items at the paths of its parents, which may be links or submodules.
        let ends = root.match_indices('/').map(|(at, _)| at).chain([root.len()]);
        for prefix in ends
            .filter_map(|end| root.get(..end))
            .filter(|prefix| !prefix.is_empty())
        {
            let at = join(dir, prefix);
            let item = items.binary_search_by(|item| path(item).cmp(&at));
            if let Ok(at) = item
                && !found(&items[at], prefix)
            {
                return;
            }
        }
        let inside = below(items, &join(dir, root), path);
        if !scan(inside, dir, path, scope, &mut found) {
            return;
        }
    }
}

/// Skips directories that cannot match. Returns false if the callback stopped the scan.
fn scan<'t, T>(
    items: &'t [T],
    dir: &str,
    path: fn(&T) -> &str,
    scope: &ResolvedScope,
    found: &mut impl FnMut(&'t T, &str) -> bool,
) -> bool {
    let from = if dir.is_empty() { 0 } else { dir.len() + 1 };
    // The deepest directory that may match; its parents may match as well.
    let mut open = "";
    let mut remaining = items;
    while let Some((item, rest)) = remaining.split_first() {
        let Some(relative) = path(item).get(from..) else {
            remaining = rest;
            continue;
        };
        if let ResolvedScope::Paths(sources) = scope {
            let mut parents = relative
                .match_indices('/')
                .filter_map(|(at, _)| relative.get(..at));
            let closed = parents.find(|parent| {
                let is_open = !open.is_empty() && is_in(parent, open);
                !is_open && !sources.may_match_below(parent)
            });
            if let Some(closed) = closed {
                let inside = |item: &T| path(item).get(from..).is_some_and(|path| is_in(closed, path));
                remaining = &remaining[remaining.partition_point(inside)..];
                continue;
            }
            open = relative.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        if !found(item, relative) {
            return false;
        }
        remaining = rest;
    }
    true
}
