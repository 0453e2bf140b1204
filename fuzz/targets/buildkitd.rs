//! The user's part of buildkitd.toml. What is taken ends up in a file that says the same when it is read again; of what
//! is refused, each line names a place that the text has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit_agent::buildkitd::{Custom, Settings, config};
use remote_buildkit_agent::quantity::Bytes;
use toml::Table;

fn merged(custom: Custom) -> Table {
    let settings = Settings {
        custom: Some(custom),
        ..Settings::default()
    };
    let text = config(&settings, "/var/lib/buildkit", Bytes(50 << 30)).expect("written");
    text.parse().expect("what is written can be read")
}

/// `line 3, column 7: what`
fn place(fault: &str) -> Option<(usize, usize)> {
    let (place, _) = fault.strip_prefix("line ")?.split_once(": ")?;
    let (line, column) = place.split_once(", column ")?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

fuzz_target!(|text: &str| {
    match Custom::parse(text) {
        Ok(custom) => {
            let once = merged(custom);
            let mut part = once.clone();
            part.remove("root");
            let part = toml::to_string(&part).expect("written");
            let again = Custom::parse(&part).expect("all of it is BuildKit's");
            assert_eq!(merged(again), once);
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for fault in faults.split('\n') {
                let (line, column) = place(fault).unwrap_or_else(|| panic!("no place in {fault:?}"));
                let length = lines
                    .get(line - 1)
                    .expect("the text has that line")
                    .chars()
                    .count();
                assert!(column <= length + 1, "{fault:?} in a line of {length} characters");
            }
        }
    }
});
