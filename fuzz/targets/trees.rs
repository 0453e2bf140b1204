//! Answers of GitHub's API about trees, and what differs between two of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::github::api::listing_of;
use remote_buildkit_matrix::changes::Changes;

fuzz_target!(|body: &[u8]| {
    for whole in [false, true] {
        let Ok(listing) = listing_of(body, whole) else {
            continue;
        };
        let mut changes = Changes::default();
        changes.compare("", &mut listing.entries.clone(), &mut listing.entries.clone());
        assert!(changes.into_vec().is_empty());
        let mut changes = Changes::default();
        changes.compare("", &mut listing.entries.clone(), &mut []);
        assert_eq!(changes.into_vec().is_empty(), listing.entries.is_empty());
    }
});
