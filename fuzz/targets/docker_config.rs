//! Edits docker's config as text. A config that docker can read is still readable after the edit.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::{Setting, add_and_remove};
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let login = Setting::Login("123456789012.dkr.ecr.eu-west-1.amazonaws.com".into());
    let plugins = Setting::PluginDir("/tmp/builder-agent-1/buildx".into());
    for setting in [login, Setting::Build, plugins] {
        let Ok(Some((after, back))) = add_and_remove(text, &setting) else {
            continue;
        };
        // RawValue, because docker also skips numbers that are too large for any type.
        let is_object = |text: &str| serde_json::from_str::<BTreeMap<String, &RawValue>>(text).is_ok();
        assert!(
            is_object(&after),
            "a config with the setting is not an object: {after}"
        );
        assert!(
            is_object(&back),
            "a config without the setting is not an object: {back}"
        );
    }
});
