//! What this program started: plugins of a kubeconfig.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Ends those that still run when a step is given up. One that waits for somebody would outlive it.
pub(super) fn end() {
    for child in below(Pid::as_raw(Some(rustix::process::getpid()))) {
        if let Some(pid) = Pid::from_raw(child) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// The processes below one, in `/proc/PID/task/TID/children` (proc(5)); on another system than Linux none.
fn below(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let lists = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<i32> = lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    let further = children.iter().flat_map(|child| below(*child));
    let further: Vec<i32> = further.collect();
    [children, further].concat()
}
