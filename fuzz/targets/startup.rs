//! Observes the startup of an agent. Each line of the input is an object of the API server: a pod (P), the agent's
//! claim (C) or an event (E). Every failure has a message and a remedy, and the latest events are described on one
//! line.
#![no_main]

use std::time::Instant;

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::startup_failure;
use remote_buildkit_agent::startup::{GracePeriod, StartupState, StartupStep};

const AGENT: &str = "remote-buildkit-agent";

/// Applies a line of the input to the state.
fn observe(state: &mut StartupState, line: &[u8]) {
    let Some((kind, object)) = line.split_first() else {
        return;
    };
    match kind {
        b'P' => {
            if let Ok(pod) = serde_json::from_slice::<Pod>(object) {
                state.observe_pod(pod);
            }
        }
        b'C' => {
            state.claim = serde_json::from_slice::<PersistentVolumeClaim>(object)
                .ok()
                .map(Box::new)
        }
        b'E' => {
            if let Ok(event) = serde_json::from_slice::<Event>(object) {
                state.events.record(&event, AGENT);
            }
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let mut state = StartupState::default();
    let mut grace_period = GracePeriod::default();
    let now = Instant::now();
    for line in data.split(|byte| *byte == b'\n') {
        observe(&mut state, line);
        let failure = state.suspected_failure();
        grace_period.ends(failure.as_ref(), now);
        if let Some(failure) = failure {
            let problem = startup_failure("buildkit", AGENT, &failure);
            assert!(!problem.what.is_empty() && !problem.remedy.is_empty());
        }
    }
    let latest = state.latest_events();
    assert!(!latest.contains('\n'), "{latest:?}");
    let done: Vec<bool> = StartupStep::ALL
        .into_iter()
        .map(|step| state.is_done(step))
        .collect();
    assert!(!done[3] || done.iter().all(|done| *done), "ready, but {done:?}");
});
