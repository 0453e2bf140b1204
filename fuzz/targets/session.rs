//! Parses the session file, as the plugin does, and creates a token from it. A written session can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::{Session, token};

fuzz_target!(|text: &[u8]| {
    let Ok(session) = serde_json::from_slice::<Session>(text) else {
        return;
    };
    let written = serde_json::to_vec(&session).expect("JSON");
    let again: Session = serde_json::from_slice(&written).expect("what is written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("JSON"), written);

    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    let _ = session.needs_renewal(now);
    let cluster = session.cluster.as_deref().unwrap_or_default();
    if let Ok(token) = token(&session.keys, cluster, &session.region, now) {
        assert!(token.value.expose().starts_with("k8s-aws-v1."));
    }
});
