//! Dockerfiles. Each read is of a line that is there, and is asked about paths, through links as well.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use libfuzzer_sys::fuzz_target;
use remote_buildkit_matrix::dockerfile::{Build, What, has_triggers, reads};

const PATHS: [&str; 4] = ["a", "src/main.go", "src/.hidden", "two words/[x]"];

fuzz_target!(|text: &str| {
    let args = BTreeMap::from([("DIR".to_owned(), "src".to_owned())]);
    let contexts = BTreeSet::from(["base".to_owned()]);
    let links = BTreeMap::from([
        ("a".to_owned(), "src".to_owned()),
        ("src/b".to_owned(), "../a".to_owned()),
    ]);
    let lines = text.lines().count().max(1);
    let _ = has_triggers(text);
    for stage in [None, Some("s1"), Some("0")] {
        let build = Build {
            stage,
            args: &args,
            contexts: &contexts,
            platforms: &[],
        };
        let reads = match reads(text, &build) {
            Ok(reads) => reads,
            Err(fault) => {
                assert!((1..=lines).contains(&fault.line), "{fault} of {lines}");
                continue;
            }
        };
        for read in reads {
            assert!((1..=lines).contains(&read.line), "{read:?} of {lines}");
            let What::Paths(sources) = read.what else {
                continue;
            };
            let resolved = sources.resolved(&links);
            for path in PATHS {
                // What is read without links is read with them, too.
                assert!(
                    !sources.takes(path) || resolved.takes(path),
                    "{path}: {sources:?}"
                );
                let _ = resolved.may_take_below(path);
            }
        }
    }
});
