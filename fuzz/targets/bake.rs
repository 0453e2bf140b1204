//! Parses the output of `docker buildx bake --print`. Each selected target exists, and their matrix is valid JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit_matrix::{bake, entries};
use serde_json::Value;

fuzz_target!(|printed: &str| {
    let Ok(targets) = bake::parse_definition(printed) else {
        return;
    };
    let all: Vec<&str> = targets.selected.iter().map(String::as_str).collect();
    assert!(all.iter().all(|name| targets.all.contains_key(*name)), "{all:?}");
    let _ = targets.find_cycle();
    for per_platform in [false, true] {
        let matrix = entries::matrix_entries(&targets, &all, per_platform, Some("acme/shop")).to_json();
        let matrix: Value = serde_json::from_str(&matrix).expect("JSON");
        assert!(matrix["include"].is_array());
    }
});
