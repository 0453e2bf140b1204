//! Parses .dockerignore files. A file without patterns ignores nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit_matrix::ignore::Dockerignore;

const PATHS: [&str; 5] = ["a", "src/main.go", "src/.hidden", "a/b/c/d/e/f", "two words/[x]"];

fuzz_target!(|text: &str| {
    let dockerignore = Dockerignore::parse(text);
    for path in PATHS {
        let ignored = dockerignore.ignores(path);
        assert!(!ignored || dockerignore != Dockerignore::default(), "{path}");
    }
});
