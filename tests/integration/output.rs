//! What commands write to standard output.

use std::fs::File;
use std::process::{Command, Stdio};

#[test]
fn a_full_disk_is_an_error_but_a_closed_pipe_is_not() {
    let manifests = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_remote-buildkit"));
        command.arg("manifests").stdin(Stdio::null()).stdout(stdout);
        command.output().expect("started")
    };
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let failed = manifests(full.into());
    let stderr = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("writing to standard output: No space left on device"),
        "{stderr}"
    );

    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let closed = manifests(writer.into());
    assert!(
        closed.status.success(),
        "{}",
        String::from_utf8_lossy(&closed.stderr)
    );
}

/// The result is read by a program, so a message must not be in it: here, that the runner's file cannot be written.
#[test]
fn standard_output_of_doctor_as_json_has_only_the_result() {
    let machine = tempfile::tempdir().expect("a directory");
    let bin = machine.path().join("bin");
    let state = machine.path().join("state");
    // The program has written its state when it runs buildx, which makes it impossible to write it again.
    let script = format!(
        "rm {0} && mkdir {0} && echo github.com/docker/buildx v0.38.2 c1b6c6a",
        state.display()
    );
    // Not written by this process: another test may fork while it has the file open, and then exec fails (ETXTBSY).
    let write = r#"mkdir "$2" && printf '#!/bin/sh\n%s\n' "$1" > "$2/buildx" && chmod +x "$2/buildx""#;
    let written = Command::new("sh")
        .args(["-c", write, "sh", &script])
        .arg(&bin)
        .status();
    assert!(written.expect("started").success());
    let output = Command::new(env!("CARGO_BIN_EXE_remote-buildkit"))
        .args(["doctor", "-o", "json", "--kubeconfig", "absent"])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .envs([("HOME", machine.path()), ("XDG_RUNTIME_DIR", machine.path())])
        .env("GITHUB_STATE", &state)
        .current_dir(machine.path())
        .stdin(Stdio::null())
        .output()
        .expect("started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("warning: cannot clean up: "), "{stderr}");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("only JSON");
    let row = |name: &str| rows.iter().find(|row| row["check"] == name).expect(name);
    assert_eq!(row("buildx")["status"], "ok", "{rows:?}");
    assert_eq!(row("cluster")["status"], "failed", "{rows:?}");
    assert_eq!(row("token")["found"], "skipped (requires cluster)", "{rows:?}");
}
