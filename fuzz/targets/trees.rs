//! Parses trees from GitHub's API. A tree does not differ from itself, and differs from an empty tree unless it is
//! empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::{ChangeSet, listing_of};

fuzz_target!(|body: &[u8]| {
    for recursive in [false, true] {
        let Ok(listing) = listing_of(body, recursive) else {
            continue;
        };
        let mut changes = ChangeSet::default();
        changes.compare("", &mut listing.entries.clone(), &mut listing.entries.clone());
        assert!(changes.into_vec().is_empty());
        let mut changes = ChangeSet::default();
        changes.compare("", &mut listing.entries.clone(), &mut []);
        assert_eq!(changes.into_vec().is_empty(), listing.entries.is_empty());
    }
});
