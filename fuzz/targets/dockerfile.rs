//! Parses Dockerfiles. Each read has the number of an existing line, and still matches its paths after links are
//! followed.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use remote_buildkit_matrix::dockerfile::{BuildParams, Scope, context_reads, has_onbuild};

const PATHS: [&str; 4] = ["a", "src/main.go", "src/.hidden", "two words/[x]"];

fuzz_target!(|text: &str| {
    let args = BTreeMap::from([("DIR".to_owned(), "src".to_owned())]);
    let contexts = BTreeSet::from(["base".to_owned()]);
    let links = BTreeMap::from([
        ("a".to_owned(), "src".to_owned()),
        ("src/b".to_owned(), "../a".to_owned()),
    ]);
    let lines = text.lines().count().max(1);
    let _ = has_onbuild(text);
    for stage in [None, Some("s1"), Some("0")] {
        let params = BuildParams {
            stage,
            args: &args,
            contexts: &contexts,
            platforms: &[],
        };
        let reads = match context_reads(text, &params) {
            Ok(reads) => reads,
            Err(error) => {
                assert!((1..=lines).contains(&error.line), "{error} of {lines}");
                continue;
            }
        };
        for read in reads {
            assert!((1..=lines).contains(&read.line), "{read:?} of {lines}");
            let Scope::Paths(sources) = read.scope else {
                continue;
            };
            let resolved = sources.with_links_followed(&links);
            for path in PATHS {
                // Following links only adds paths.
                assert!(
                    !sources.matches(path) || resolved.matches(path),
                    "{path}: {sources:?}"
                );
                let _ = resolved.may_match_below(path);
            }
        }
    }
});
