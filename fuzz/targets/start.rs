//! Objects of the API server during an agent's start: pods, its claim, events, a line each. Whatever they hold, there
//! is something to say of them, on one line.
#![no_main]

use std::time::Instant;

use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use libfuzzer_sys::fuzz_target;
use remote_buildkit_agent::start::{Patience, Sight, Step};
use remote_buildkit::cluster::given_up;

const AGENT: &str = "remote-buildkit-agent";

fn take(sight: &mut Sight, line: &[u8]) {
    let Some((kind, object)) = line.split_first() else {
        return;
    };
    match kind {
        b'P' => {
            if let Ok(pod) = serde_json::from_slice::<Pod>(object) {
                sight.see(pod);
            }
        }
        b'C' => {
            sight.claim = serde_json::from_slice::<PersistentVolumeClaim>(object)
                .ok()
                .map(Box::new)
        }
        b'E' => {
            if let Ok(event) = serde_json::from_slice::<Event>(object) {
                sight.heard.hear(&event, AGENT);
            }
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let mut sight = Sight::default();
    let mut patience = Patience::default();
    let now = Instant::now();
    for line in data.split(|byte| *byte == b'\n') {
        take(&mut sight, line);
        let doubt = sight.doubt();
        patience.ends(doubt.as_ref(), now);
        if let Some(doubt) = doubt {
            let problem = given_up("default", AGENT, &doubt.why);
            assert!(!problem.what.is_empty() && !problem.remedy.is_empty());
        }
    }
    assert!(!sight.latest().contains('\n'), "{:?}", sight.latest());
    let done: Vec<bool> = Step::ALL.into_iter().map(|step| sight.done(step)).collect();
    assert!(!done[3] || done.iter().all(|done| *done), "ready, but {done:?}");
});
