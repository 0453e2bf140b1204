//! Whether a container that has terminated will terminate again.
//!
//! The kubelet keeps the last 80 lines or 2048 bytes of the log of a failed container in its status, where
//! the container's `terminationMessagePolicy` is `FallbackToLogsOnError`.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus};

/// A daemon that ran for this long had started successfully.
const SERVED: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// How many lines of a log are shown.
const SHOWN_LINES: usize = 8;

/// Log messages of errors that a restart does not change (moby/buildkit, cmd/buildkitd: `config/load.go` and the flags).
const PERMANENT: [&str; 3] = [
    "failed to parse config",
    "failed to load config",
    "flag provided but not defined",
];

/// A predecessor holds the lock of buildkitd's root directory until it has drained. Without these words the lock file
/// could not be opened, which is not transient.
const LOCKED: &str = "another instance running?";

/// Returns the last termination of a container that does not run.
pub(super) fn last_termination(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let state = status.state.as_ref()?;
    if state.running.is_some() {
        return None;
    }
    let previous = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
    state.terminated.as_ref().or(previous)
}

/// Returns how often a container that does not run has terminated recently: since its restart count was
/// `initial_restarts`, or by the back-off of the kubelet. The restart count itself covers the whole life of the pod, which
/// may be months.
fn recent_terminations(status: &ContainerStatus, initial_restarts: i32) -> u32 {
    let since = u32::try_from(status.restart_count - initial_restarts).unwrap_or_default() + 1;
    since.max(terminations_by_back_off(status).unwrap_or_default())
}

/// Returns the number of terminations that a back-off means: `back-off 1m20s restarting failed container=…` is 10 s at the
/// second termination, and doubles with each (kubelet, `MaxCrashLoopBackOff`). It starts over with the kubelet, and for a
/// container that ran for ten minutes. Where it is configured to be shorter, the number is too low.
fn terminations_by_back_off(status: &ContainerStatus) -> Option<u32> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let (_, rest) = waiting.message.as_deref()?.split_once("back-off ")?;
    let delay: jiff::SignedDuration = rest.split_once(" restarting")?.0.parse().ok()?;
    let tens = u32::try_from(delay.as_secs() / 10).ok()?;
    Some(2 + tens.checked_ilog2()?)
}

/// Returns whether a restart will end in the same way. It may succeed if the container served for a while and was killed,
/// or if its predecessor is still draining or holds the lock.
pub(super) fn will_repeat(
    status: &ContainerStatus,
    end: &ContainerStateTerminated,
    initial_restarts: i32,
    draining: bool,
) -> bool {
    let log = end.message.as_deref().unwrap_or_default();
    let run_time = || {
        Some(
            end.finished_at
                .as_ref()?
                .0
                .duration_since(end.started_at.as_ref()?.0),
        )
    };
    let is_error = |line: &str| line.starts_with("buildkitd: ") || line.starts_with("[rootlesskit:");
    let terminations = recent_terminations(status, initial_restarts);
    if log.contains(LOCKED) {
        false
    } else if PERMANENT.iter().any(|message| log.contains(message)) {
        true
    } else if is_start_error(end) {
        terminations >= 2
    } else if run_time().is_none_or(|time| time >= SERVED) {
        false
    } else if log.lines().any(is_error) {
        terminations >= 3
    } else {
        terminations >= 5 && !draining
    }
}

/// Returns whether the container runtime could not start the process.
pub(super) fn is_start_error(end: &ContainerStateTerminated) -> bool {
    matches!(end.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
}

/// Returns the last lines of a log, without the stack that buildkitd prints with its errors: a function, and below it,
/// after a tab, its place in the source.
pub(super) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let below = lines.iter().skip(1).map(Some).chain([None]);
    let is_frame = |line: &str| line.starts_with('\t');
    let kept = lines.iter().zip(below).filter(|(line, below)| {
        !line.trim().is_empty() && !is_frame(line) && !below.is_some_and(|below| is_frame(below))
    });
    let kept: Vec<&str> = kept.map(|(line, _)| line.trim()).collect();
    kept[kept.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The log of buildkitd 0.34 in the lab, for a table that is not closed.
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

    /// Returns the first restart count at which a restart is pointless.
    fn gives_up_at(seconds: u32, message: &str, draining: bool) -> Option<i32> {
        (0..20).find(|restarts| {
            let status = waiting(*restarts, seconds, message);
            will_repeat(
                &status,
                last_termination(&status).expect("termination"),
                0,
                draining,
            )
        })
    }

    #[test]
    fn the_log_decides_how_many_restarts_to_wait_for() {
        assert_eq!(gives_up_at(0, SYNTAX, false), Some(0));
        assert_eq!(gives_up_at(0, SNAPSHOTTER, false), Some(2));
        assert_eq!(gives_up_at(0, PERMISSION, false), Some(2));
        assert_eq!(gives_up_at(0, "Killed", false), Some(4));
        assert_eq!(gives_up_at(0, "", false), Some(4));
    }

    #[test]
    fn a_lock_and_a_predecessor_are_waited_for() {
        assert_eq!(gives_up_at(0, LOCK, false), None);
        assert_eq!(gives_up_at(0, "", true), None);
        assert_eq!(gives_up_at(0, SNAPSHOTTER, true), Some(2));
    }

    #[test]
    fn a_daemon_that_served_is_restarted() {
        assert_eq!(gives_up_at(30, "", false), None);
        assert_eq!(gives_up_at(30, SNAPSHOTTER, false), None);
    }

    #[test]
    fn restarts_before_the_first_observation_do_not_count() {
        let status = waiting(6, 0, "");
        assert_eq!(recent_terminations(&status, 0), 7);
        assert_eq!(recent_terminations(&status, 5), 2);
        let repeats = |initial| {
            will_repeat(
                &status,
                last_termination(&status).expect("termination"),
                initial,
                false,
            )
        };
        assert!(repeats(2));
        assert!(!repeats(5));
    }

    #[test]
    fn a_back_off_implies_the_number_of_terminations() {
        let terminations = |delay: &str| {
            let mut status = waiting(9, 0, "");
            let message = format!("back-off {delay} restarting failed container=buildkitd pod=a-1-2_x(1)");
            let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}});
            status.state = serde_json::from_value(state).expect("state");
            recent_terminations(&status, 9)
        };
        for (delay, expected) in [
            ("1s", 1),
            ("10s", 2),
            ("20s", 3),
            ("40s", 4),
            ("1m20s", 5),
            ("5m0s", 6),
        ] {
            assert_eq!(terminations(delay), expected, "{delay}");
        }
    }

    /// The container runtime reports the epoch as its start.
    #[test]
    fn a_process_that_never_started() {
        let end = json!({"exitCode": 128, "reason": "StartError", "message": "exec: \"/nonsense\": no such file",
            "startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z"});
        let status = |restarts| status(restarts, end.clone());
        let repeats =
            |s: &ContainerStatus| will_repeat(s, last_termination(s).expect("termination"), 0, false);
        assert!(!repeats(&status(0)));
        assert!(repeats(&status(1)));
    }

    #[test]
    fn a_running_container_has_no_last_termination() {
        let mut status = waiting(9, 0, SYNTAX);
        status.state = serde_json::from_value(json!({"running": {}})).expect("state");
        assert_eq!(last_termination(&status), None);
    }

    #[test]
    fn last_lines_omit_the_stack() {
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
