//! Looking through many paths for those that a few sources may take, without asking for each of them.

use std::collections::BTreeSet;

use super::{Wanted, is_in};
use crate::tree::{below, join};

/// Calls for each entry below a folder that may be wanted, with its path from there, until told to stop; for some more
/// than once. The entries are in the order of their paths.
pub(super) fn each<'t, T>(
    entries: &'t [T],
    folder: &str,
    path: fn(&T) -> &str,
    wanted: &Wanted,
    mut found: impl FnMut(&'t T, &str) -> bool,
) {
    let roots = match wanted {
        Wanted::All => BTreeSet::from([""]),
        Wanted::Paths(sources) => sources.roots().collect(),
    };
    for root in roots {
        // The root itself, and what stands where a folder above it should be.
        let ends = root.match_indices('/').map(|(at, _)| at).chain([root.len()]);
        for way in ends
            .filter_map(|end| root.get(..end))
            .filter(|way| !way.is_empty())
        {
            let at = join(folder, way);
            let entry = entries.binary_search_by(|entry| path(entry).cmp(&at));
            if let Ok(at) = entry
                && !found(&entries[at], way)
            {
                return;
            }
        }
        let inside = below(entries, &join(folder, root), path);
        if !walk(inside, folder, path, wanted, &mut found) {
            return;
        }
    }
}

/// What lies below a folder that nothing is wanted of is passed over. Says whether it came to the end.
fn walk<'t, T>(
    entries: &'t [T],
    folder: &str,
    path: fn(&T) -> &str,
    wanted: &Wanted,
    found: &mut impl FnMut(&'t T, &str) -> bool,
) -> bool {
    let from = if folder.is_empty() { 0 } else { folder.len() + 1 };
    // The deepest folder that was worth a look: so are those above it.
    let mut open = "";
    let mut left = entries;
    while let Some((entry, rest)) = left.split_first() {
        let Some(here) = path(entry).get(from..) else {
            left = rest;
            continue;
        };
        if let Wanted::Paths(sources) = wanted {
            let mut parents = here.match_indices('/').filter_map(|(at, _)| here.get(..at));
            let closed = parents.find(|parent| {
                let known = !open.is_empty() && is_in(parent, open);
                !known && !sources.may_take_below(parent)
            });
            if let Some(closed) = closed {
                let inside = |entry: &T| path(entry).get(from..).is_some_and(|path| is_in(closed, path));
                left = &left[left.partition_point(inside)..];
                continue;
            }
            open = here.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        if !found(entry, here) {
            return false;
        }
        left = rest;
    }
    true
}
