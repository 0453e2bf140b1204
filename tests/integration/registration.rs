//! `runner --github-url`: errors that are found before anything is installed.

use std::process::{Command, Stdio};

const TOKEN: &str = "ghp_aTokenOfNobody";

/// Runs `runner`, which fails before it installs anything. Returns its output.
fn run(flags: &[&str], variables: &[(&str, &str)], input: &str) -> String {
    let home = tempfile::tempdir().expect("directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_remote-buildkit"));
    command
        .args([
            "runner",
            "--kubeconfig=in-cluster",
            "--github-url=https://github.com/acme",
        ])
        .args(flags)
        .env_clear()
        .envs(variables.iter().copied())
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if rustix::process::getuid().is_root() {
        command.arg("--user=root");
    }
    let mut child = command.spawn().expect("started");
    std::io::Write::write_all(&mut child.stdin.take().expect("stdin"), input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        std::fs::read_dir(home.path()).expect("list").count(),
        0,
        "something was created"
    );
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn nothing_is_installed_without_a_runner_and_a_credential() {
    let text = run(&["--runner-dir=/nowhere"], &[("GITHUB_TOKEN", TOKEN)], "");
    assert!(
        text.contains("GitHub runner not installed") && text.contains("/nowhere/run.sh"),
        "{text}"
    );
    let dir = tempfile::tempdir().expect("directory");
    std::fs::write(dir.path().join("run.sh"), "#!/bin/sh\n").expect("file");
    let runner = format!("--runner-dir={}", dir.path().display());
    let text = run(&[&runner], &[], "");
    assert!(
        text.contains("No GitHub credential") && text.contains("GITHUB_TOKEN"),
        "{text}"
    );
    let text = run(&[&runner, "--github-token-file=/nowhere/token"], &[], "");
    assert!(text.contains("/nowhere/token"), "{text}");
    let text = run(&[&runner, "--github-token-file=-"], &[], "\n");
    assert!(text.contains("standard input"), "{text}");
    let flags = [&runner, "--github-app-id=1", "--github-app-key-file=-"];
    let text = run(&flags, &[], "no key, but a secret");
    assert!(
        text.contains("App key cannot be used") && !text.contains("a secret"),
        "{text}"
    );
}
