//! What `docker buildx bake --print` prints. Whatever is selected is there, and the matrix of all of it is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit_matrix::{bake, legs};
use serde_json::Value;

fuzz_target!(|printed: &str| {
    let Ok(targets) = bake::targets(printed) else {
        return;
    };
    let all: Vec<&str> = targets.selected.iter().map(String::as_str).collect();
    assert!(all.iter().all(|name| targets.all.contains_key(*name)), "{all:?}");
    let _ = targets.cycle();
    for per_platform in [false, true] {
        let matrix = legs::legs(&targets, &all, per_platform, Some("acme/shop")).matrix();
        let matrix: Value = serde_json::from_str(&matrix).expect("JSON");
        assert!(matrix["include"].is_array());
    }
});
