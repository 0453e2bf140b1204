//! Parses the output of df and buildctl in a pod. The disk usage is within the size of the disk.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remote_buildkit::fuzz::parse_daemon_status;

fuzz_target!(|output: &[u8]| {
    let Ok(status) = parse_daemon_status("agent-1-2".into(), output) else {
        return;
    };
    if let Some(disk) = status.disk {
        assert!(disk.used <= disk.total);
        assert!(disk.percent() <= 100);
    }
});
