//! What df and buildctl print in a pod.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::cluster::parse_daemon_status;

fuzz_target!(|output: &[u8]| {
    let Ok(answer) = parse_daemon_status("agent-1-2".into(), output) else {
        return;
    };
    if let Some(disk) = answer.disk {
        assert!(disk.used <= disk.total);
        assert!(disk.percent() <= 100);
    }
});
