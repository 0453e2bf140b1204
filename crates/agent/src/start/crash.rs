//! What the end of a container says of the next start.
//!
//! The kubelet keeps the last 80 lines or 2048 bytes of the log of a container that failed in its status, where the
//! container's `terminationMessagePolicy` is `FallbackToLogsOnError`.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus};

/// A daemon that lived this long had started.
const SERVED: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// Lines of a log worth showing.
const SHOWN: usize = 8;

/// Said of what no new start changes (moby/buildkit, cmd/buildkitd: `config/load.go` and the flags).
const FINAL: [&str; 3] = [
    "failed to parse config",
    "failed to load config",
    "flag provided but not defined",
];

/// A predecessor holds buildkitd's root, and lets go of it when it has drained. Without these words it is the lock's
/// file that could not be opened, which does not pass.
const LOCKED: &str = "another instance running?";

/// The last end of a container that does not run.
pub fn last_end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let state = status.state.as_ref()?;
    if state.running.is_some() {
        return None;
    }
    let before = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    state.terminated.as_ref().or(before)
}

/// How often a container that does not run has ended of late: since it had restarted `before` times when it was first
/// seen, or as often as the kubelet's back-off says. The count itself is of all the life of its pod, which may be months.
fn ends(status: &ContainerStatus, before: i32) -> u32 {
    let since = u32::try_from(status.restart_count - before).unwrap_or_default() + 1;
    since.max(backed_off(status).unwrap_or_default())
}

/// `back-off 1m20s restarting failed container=…`: 10 s at the second end, and each time twice as long (kubelet,
/// `MaxCrashLoopBackOff`). A kubelet that starts begins anew, and so does a container that ran for ten minutes. Where it is
/// configured to be shorter, this is too low.
fn backed_off(status: &ContainerStatus) -> Option<u32> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let (_, rest) = waiting.message.as_deref()?.split_once("back-off ")?;
    let delay: jiff::SignedDuration = rest.split_once(" restarting")?.0.parse().ok()?;
    let tens = u32::try_from(delay.as_secs() / 10).ok()?;
    Some(2 + tens.checked_ilog2()?)
}

/// Whether a container that ended will do so again. One that served for a while and was killed comes back; so does one
/// whose predecessor `drains` or still holds the lock.
pub fn repeats(status: &ContainerStatus, end: &ContainerStateTerminated, before: i32, drains: bool) -> bool {
    let said = end.message.as_deref().unwrap_or_default();
    let lived = || {
        Some(
            end.finished_at
                .as_ref()?
                .0
                .duration_since(end.started_at.as_ref()?.0),
        )
    };
    let is_word = |line: &str| line.starts_with("buildkitd: ") || line.starts_with("[rootlesskit:");
    let ends = ends(status, before);
    if said.contains(LOCKED) {
        false
    } else if FINAL.iter().any(|words| said.contains(words)) {
        true
    } else if never_started(end) {
        ends >= 2
    } else if lived().is_none_or(|lived| lived >= SERVED) {
        false
    } else if said.lines().any(is_word) {
        ends >= 3
    } else {
        ends >= 5 && !drains
    }
}

/// Whether the runtime did not get as far as the container's process.
pub fn never_started(end: &ContainerStateTerminated) -> bool {
    matches!(end.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
}

/// The last lines, without the stack that buildkitd prints with its errors: a function, and below it, after a tab,
/// its place in the source.
pub fn last_lines(message: &str) -> String {
    let lines: Vec<&str> = message.lines().collect();
    let below = lines.iter().skip(1).map(Some).chain([None]);
    let is_frame = |line: &str| line.starts_with('\t');
    let kept = lines.iter().zip(below).filter(|(line, below)| {
        !line.trim().is_empty() && !is_frame(line) && !below.is_some_and(|below| is_frame(below))
    });
    let kept: Vec<&str> = kept.map(|(line, _)| line.trim()).collect();
    kept[kept.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What buildkitd 0.34 left in the lab, for a table that is not closed.
    const SYNTAX: &str = "toml: expected ']' to close table name\nfailed to parse config\n\
        github.com/moby/buildkit/cmd/buildkitd/config.Load\n\t/src/cmd/buildkitd/config/load.go:15\n\
        main.main\n\t/src/cmd/buildkitd/main.go:140\n";
    const SNAPSHOTTER: &str = "buildkitd: unknown snapshotter name: \"zfs\"\nmain.snapshotterFactory\n\
        \t/src/cmd/buildkitd/main_oci_worker.go:460\nruntime.goexit\n\t/usr/local/go/src/runtime/asm_amd64.s:1771\n";
    const LOCK: &str = "buildkitd: could not lock /var/lib/buildkit/buildkitd.lock, another instance running?\n\
        main.main.func3\n\t/src/cmd/buildkitd/main.go:399\n";
    const PERMISSION: &str = "buildkitd: open /home/user/.local/share/buildkit/buildkitd.lock: permission denied\n\
        could not lock /home/user/.local/share/buildkit/buildkitd.lock\nmain.main.func3\n\t/src/main.go:396\n";

    fn waiting(restarts: i32, seconds: u32, message: &str) -> ContainerStatus {
        status(
            restarts,
            json!({"exitCode": 1, "message": message,
                "startedAt": "2026-01-01T00:00:00Z", "finishedAt": format!("2026-01-01T00:00:{seconds:02}Z")}),
        )
    }

    fn status(restarts: i32, end: Value) -> ContainerStatus {
        serde_json::from_value(json!({
            "name": "buildkitd", "image": "", "imageID": "", "ready": false, "restartCount": restarts,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": end}
        }))
        .expect("status")
    }

    /// The first count of restarts at which it is given up.
    fn given_up_at(seconds: u32, message: &str, drains: bool) -> Option<i32> {
        (0..20).find(|restarts| {
            let status = waiting(*restarts, seconds, message);
            repeats(&status, last_end(&status).expect("end"), 0, drains)
        })
    }

    #[test]
    fn words_say_how_often_to_try() {
        assert_eq!(given_up_at(0, SYNTAX, false), Some(0));
        assert_eq!(given_up_at(0, SNAPSHOTTER, false), Some(2));
        assert_eq!(given_up_at(0, PERMISSION, false), Some(2));
        assert_eq!(given_up_at(0, "Killed", false), Some(4));
        assert_eq!(given_up_at(0, "", false), Some(4));
    }

    #[test]
    fn a_lock_is_waited_for_and_so_is_a_predecessor() {
        assert_eq!(given_up_at(0, LOCK, false), None);
        assert_eq!(given_up_at(0, "", true), None);
        assert_eq!(given_up_at(0, SNAPSHOTTER, true), Some(2));
    }

    #[test]
    fn a_daemon_that_served_comes_back() {
        assert_eq!(given_up_at(30, "", false), None);
        assert_eq!(given_up_at(30, SNAPSHOTTER, false), None);
    }

    #[test]
    fn what_a_pod_went_through_before_does_not_count() {
        let status = waiting(6, 0, "");
        assert_eq!(ends(&status, 0), 7);
        assert_eq!(ends(&status, 5), 2);
        let repeats = |before| repeats(&status, last_end(&status).expect("end"), before, false);
        assert!(repeats(2));
        assert!(!repeats(5));
    }

    #[test]
    fn a_back_off_tells_how_often_it_ended() {
        let backs_off = |delay: &str| {
            let mut status = waiting(9, 0, "");
            let message = format!("back-off {delay} restarting failed container=buildkitd pod=a-1-2_x(1)");
            let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
            status.state = serde_json::from_value(state).expect("state");
            ends(&status, 9)
        };
        for (delay, ends) in [
            ("1s", 1),
            ("10s", 2),
            ("20s", 3),
            ("40s", 4),
            ("1m20s", 5),
            ("5m0s", 6),
        ] {
            assert_eq!(backs_off(delay), ends, "{delay}");
        }
    }

    /// The runtime gives it the epoch as its start.
    #[test]
    fn a_process_that_never_started() {
        let end = json!({"exitCode": 128, "reason": "StartError", "message": "exec: \"/nonsense\": no such file",
            "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"});
        let status = |restarts| status(restarts, end.clone());
        let repeats = |s: &ContainerStatus| repeats(s, last_end(s).expect("end"), 0, false);
        assert!(!repeats(&status(0)));
        assert!(repeats(&status(1)));
    }

    #[test]
    fn a_container_that_runs_is_not_judged() {
        let mut status = waiting(9, 0, SYNTAX);
        status.state = serde_json::from_value(json!({"running": {}})).expect("state");
        assert_eq!(last_end(&status), None);
    }

    #[test]
    fn last_lines_are_without_the_stack() {
        assert_eq!(
            last_lines(SYNTAX),
            "toml: expected ']' to close table name\nfailed to parse config"
        );
        assert_eq!(
            last_lines(SNAPSHOTTER),
            "buildkitd: unknown snapshotter name: \"zfs\""
        );
        let long: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(last_lines(&long.join("\n")), "12\n13\n14\n15\n16\n17\n18\n19");
        assert_eq!(last_lines(""), "");
    }
}
