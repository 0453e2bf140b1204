//! A runner on which something cannot be written, or has a name that is not valid UTF-8.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::support::{Namespace, Outcome, Runner, RunnerSnapshot, output, program, run};

/// Runs a step in its own mount namespace, which this script prepares, and prints what is left in RUNNER_TEMP.
fn with_mounts(runner: &mut Runner, script: &str, step: &Command) -> Result<Outcome> {
    let script =
        format!("{script}\ncode=0; \"$@\" || code=$?; echo \"left: $(ls -A \"$RUNNER_TEMP\")\"; exit $code");
    let mut command = runner.command("unshare");
    // A shell does not pass on variables with a hyphen in their names.
    command.args(["--mount", "sh", "-ec", &script, "sh", "env"]);
    for (name, value) in step.get_envs() {
        let mut assignment = name.to_owned();
        assignment.push("=");
        assignment.push(value.unwrap_or_default());
        command.arg(assignment);
    }
    command.arg(step.get_program()).args(step.get_args());
    runner.step(command)
}

#[test]
fn home_is_read_only() -> Result<()> {
    let namespace = Namespace::new("home-read-only")?;
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let step = runner.connect_command(&[("namespace", "home-read-only")]);
    let script = "mount --bind \"$HOME\" \"$HOME\"; mount -o remount,bind,ro \"$HOME\"";
    let outcome = with_mounts(&mut runner, script, &step)?;
    let words = ["/.docker/buildx", "Read-only file system", "BUILDX_CONFIG"];
    before.ensure_failed_cleanly(&runner, &outcome, "Cannot write file", &words)?;
    ensure!(
        namespace.names("deployment")?.is_empty(),
        "an agent was deployed for a job that cannot use it"
    );
    // It works with a directory elsewhere.
    let buildx = runner.temp().join("buildx").to_string_lossy().into_owned();
    runner.env.insert("BUILDX_CONFIG".into(), buildx);
    let step = runner.connect_command(&[("namespace", "home-read-only")]);
    with_mounts(&mut runner, script, &step)?.ok()?;
    runner.build("RUN echo built")?;
    Ok(())
}

/// Runs as root without `CAP_DAC_OVERRIDE`, so that file modes apply as for any other user.
#[test]
fn buildx_directory_belongs_to_another_user() -> Result<()> {
    let _namespace = Namespace::new("home-modes")?;
    for dir in [".docker/buildx", ".docker/buildx/instances"] {
        let mut runner = Runner::new()?;
        let instances = runner.home.join(".docker/buildx/instances");
        std::fs::create_dir_all(instances)?;
        run(Command::new("chmod").arg("0555").arg(runner.home.join(dir)))?;
        let before = RunnerSnapshot::take(&runner)?;
        let step = runner.connect_command(&[("namespace", "home-modes")]);
        let mut command = runner.command("setpriv");
        command
            .args(["--bounding-set", "-dac_override", "--"])
            .arg(step.get_program())
            .args(step.get_args());
        for (name, value) in step.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let outcome = runner.step(command)?;
        let words = [
            "/.docker/buildx",
            "Permission denied",
            "Give this user write permission",
        ];
        before.ensure_failed_cleanly(&runner, &outcome, "Cannot write file", &words)?;
    }
    Ok(())
}

#[test]
fn temporary_directory_is_full_or_missing() -> Result<()> {
    let namespace = Namespace::new("temp-full")?;
    let full = "mount -t tmpfs -o size=64k tmpfs \"$RUNNER_TEMP\"
        dd if=/dev/zero of=\"$RUNNER_TEMP/full\" bs=4k count=16 status=none";
    let no_inodes = "mount -t tmpfs -o nr_inodes=2 tmpfs \"$RUNNER_TEMP\"; touch \"$RUNNER_TEMP/full\"";
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    for (script, word) in [
        (full, "session.json"),
        (no_inodes, "builder-remote-buildkit-agent-"),
    ] {
        let step = runner.connect_command(&[("namespace", "temp-full")]);
        let outcome = with_mounts(&mut runner, script, &step)?;
        let words = [word, "No space left on device", "Free space", "RUNNER_TEMP"];
        before.ensure_failed_cleanly(&runner, &outcome, "Cannot write file", &words)?;
        ensure!(outcome.log.contains("left: full\n"), "{}", outcome.log);
    }

    let mut command = runner.connect_command(&[("namespace", "temp-full")]);
    command.env("RUNNER_TEMP", runner.home.join("nowhere"));
    let outcome = runner.step(command)?;
    let words = [
        "/nowhere/builder-",
        "No such file or directory",
        "Create its parent directory",
    ];
    before.ensure_failed_cleanly(&runner, &outcome, "Cannot write file", &words)?;
    ensure!(
        namespace.names("deployment")?.is_empty(),
        "something was deployed"
    );
    runner.disconnect()?.ok()?;
    Ok(())
}

#[test]
fn runner_files_cannot_be_written() -> Result<()> {
    let _namespace = Namespace::new("files-full")?;
    let inputs = [("namespace", "files-full")];
    Runner::new()?.connect(&inputs)?.ok()?;
    for variable in ["GITHUB_STATE", "GITHUB_OUTPUT", "GITHUB_ENV"] {
        let mut runner = Runner::new()?;
        let before = RunnerSnapshot::take(&runner)?;
        let mut command = runner.connect_command(&inputs);
        command.env(variable, "/dev/full");
        let mut outcome = runner.step(command)?;
        if variable == "GITHUB_ENV" {
            // This file is written last, so the outputs of the failed step exist.
            outcome.outputs.clear();
        }
        let words = ["/dev/full", "No space left on device", variable];
        before.ensure_failed_cleanly(&runner, &outcome, "Cannot write file", &words)?;
    }

    // If there is space for half a record only, that half is removed, because the runner could not parse it.
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let script = "mount -t tmpfs -o size=4k tmpfs /mnt
        dd if=/dev/zero of=/mnt/env bs=4080 count=1 status=none
        trap 'echo \"size: $(stat -c %s /mnt/env)\"' EXIT";
    let mut step = runner.connect_command(&inputs);
    step.env("GITHUB_ENV", "/mnt/env");
    let mut outcome = with_mounts(&mut runner, script, &step)?;
    outcome.outputs.clear();
    before.ensure_failed_cleanly(
        &runner,
        &outcome,
        "Cannot write file",
        &["/mnt/env", "GITHUB_ENV"],
    )?;
    ensure!(outcome.log.contains("size: 4080\n"), "{}", outcome.log);
    Ok(())
}

/// A name in Latin-1, which is not valid UTF-8.
const NON_UTF8: &[u8] = b"r\xf6yal";

fn non_utf8(before: &str) -> OsString {
    let mut value = OsString::from(before);
    value.push(OsStr::from_bytes(NON_UTF8));
    value
}

#[test]
fn inputs_and_flags_are_not_utf8() -> Result<()> {
    let mut runner = Runner::new()?;
    let before = RunnerSnapshot::take(&runner)?;
    let mut command = runner.connect_command(&[]);
    command
        .env("INPUT_NAMESPACE", non_utf8(""))
        .env("INPUT_LABELS", non_utf8("a="));
    let outcome = runner.step(command)?;
    let words = [
        "`namespace` is not valid UTF-8",
        "`labels` is not valid UTF-8",
        "Nothing was contacted",
    ];
    before.ensure_failed_cleanly(&runner, &outcome, "Invalid input", &words)?;

    for flag in [non_utf8("--cluster="), non_utf8("")] {
        let mut command = runner.command(program());
        command.arg("connect").arg(flag);
        let outcome = runner.step(command)?;
        ensure!(outcome.code == Some(2), "{:?}: {}", outcome.code, outcome.log);
        ensure!(outcome.log.starts_with("error: "), "{}", outcome.log);
    }
    let output = output(Command::new(program()).arg(non_utf8("")))?;
    ensure!(output.status.code() == Some(2), "{output:?}");
    before.ensure_unchanged(&runner)
}

#[test]
fn paths_are_not_utf8() -> Result<()> {
    let _namespace = Namespace::new("no-text")?;
    let inputs = [("namespace", "no-text")];
    let mut runner = Runner::new()?;
    let empty = RunnerSnapshot::take(&runner)?;

    // The kubeconfig and buildx's files contain the path of RUNNER_TEMP, so it must be valid UTF-8.
    let temporary = runner.temp().join(non_utf8(""));
    std::fs::create_dir(&temporary)?;
    let mut command = runner.connect_command(&inputs);
    command.env("RUNNER_TEMP", &temporary);
    let outcome = runner.step(command)?;
    let words = ["not valid UTF-8", "Set RUNNER_TEMP"];
    empty.ensure_failed_cleanly(&runner, &outcome, "Temporary directory cannot be used", &words)?;
    std::fs::remove_dir(&temporary)?;

    // Other paths, and variables that are not used, need not be valid UTF-8.
    let home = runner.home.with_file_name(non_utf8("home-"));
    std::fs::rename(&runner.home, &home)?;
    let outputs = home.with_file_name(non_utf8("output-"));
    let mut command = runner.connect_command(&inputs);
    command
        .env("HOME", &home)
        .env("GITHUB_OUTPUT", &outputs)
        .env("GITHUB_REPOSITORY", non_utf8("acme/"))
        .env("SOMETHING", non_utf8(""))
        .env(non_utf8("SOMETHING_"), "else");
    runner.step(command)?.ok()?;
    let outputs = std::fs::read_to_string(outputs)?;
    ensure!(outputs.contains("driver<<"), "{outputs}");
    let instances = home.join(".docker/buildx/instances");
    let builder = std::fs::read_dir(&instances)?.next().context("no builder")??;
    let mut buildx = runner.command(crate::support::LAB.bin.join("docker-buildx"));
    buildx
        .env("HOME", &home)
        .args(["inspect", &builder.file_name().to_string_lossy()]);
    let inspected = run(&mut buildx)?;
    ensure!(inspected.contains("Status:           running"), "{inspected}");
    let mut command = runner.disconnect_command();
    command.env("HOME", &home);
    runner.step(command)?.ok()?;
    ensure!(
        std::fs::read_dir(&instances)?.next().is_none(),
        "the builder is left"
    );
    Ok(())
}
