//! docker's config as people have it: it is changed as text, and stays one that docker reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::docker::{Setting, there_and_back};
use serde_json::Value;

fuzz_target!(|text: &str| {
    let login = Setting::Login("123456789012.dkr.ecr.eu-west-1.amazonaws.com".into());
    for setting in [login, Setting::Build] {
        let Ok(Some((after, back))) = there_and_back(text, &setting) else {
            continue;
        };
        let parsed: Value = serde_json::from_str(&after).expect("a config with our setting is one");
        assert!(parsed.is_object());
        let parsed: Value = serde_json::from_str(&back).expect("a config without it is one");
        assert!(parsed.is_object());
    }
});
