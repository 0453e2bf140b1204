//! Parses event payloads. They select commits by valid ids, or give a reason to build all targets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit_matrix::comparison::{Base, Comparison, EventContext, Head, comparison};
use serde_json::Value;

const EVENTS: [&str; 7] = [
    "push",
    "pull_request",
    "pull_request_target",
    "merge_group",
    "workflow_dispatch",
    "schedule",
    "release",
];
const ID: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fuzz_target!(|body: &[u8]| {
    let Ok(payload) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    for event in EVENTS {
        let context = EventContext {
            in_job: true,
            event,
            payload: Some(&payload),
            sha: Some(ID),
            checked_out: Some(ID),
            base: None,
        };
        match comparison(&context) {
            Err(reason) => assert!(!reason.to_string().is_empty()),
            Ok(Comparison { base, head }) => {
                match base {
                    Base::Commit(id) => assert!(is_id(&id), "{id}"),
                    Base::MergeBase { branch, change } => {
                        assert!(is_id(&branch) && is_id(&change), "{branch} {change}")
                    }
                    Base::Named(name) => assert!(!name.starts_with('-'), "{name}"),
                }
                if let Head::Commit(id) = head {
                    assert!(is_id(&id), "{id}");
                }
            }
        }
    }
});
