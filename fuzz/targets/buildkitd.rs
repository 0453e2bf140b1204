//! Parses the user's part of buildkitd.toml. A valid part is unchanged when the generated file is read again. Each
//! error about an invalid part has a position that exists in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit_agent::buildkitd::{BuildkitdSettings, CustomConfig, config};
use remote_buildkit_agent::quantity::Bytes;
use toml::Table;

/// Returns the generated file that contains the user's part.
fn merged(custom: CustomConfig) -> Table {
    let settings = BuildkitdSettings {
        custom: Some(custom),
        ..BuildkitdSettings::default()
    };
    let text = config(&settings, "/var/lib/buildkit", Bytes(50 << 30)).expect("written");
    text.parse().expect("the generated file can be parsed")
}

fuzz_target!(|text: &str| {
    match CustomConfig::parse(text) {
        Ok(custom) => {
            let once = merged(custom);
            let mut part = once.clone();
            part.remove("root");
            let part = toml::to_string(&part).expect("written");
            let again = CustomConfig::parse(&part).expect("all keys are BuildKit's");
            assert_eq!(merged(again), once);
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for error in errors.0 {
                let line = lines.get(error.line - 1).expect("the text has that line");
                let length = line.chars().count();
                assert!(
                    error.column <= length + 1,
                    "{error:?} in a line of {length} characters"
                );
            }
        }
    }
});
