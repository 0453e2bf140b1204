//! .dockerignore files. One without patterns leaves nothing out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit_matrix::ignore::Ignore;

const PATHS: [&str; 5] = ["a", "src/main.go", "src/.hidden", "a/b/c/d/e/f", "two words/[x]"];

fuzz_target!(|text: &str| {
    let ignore = Ignore::parse(text);
    for path in PATHS {
        let ignored = ignore.ignores(path);
        assert!(!ignored || !ignore.is_empty(), "{path}");
    }
});
