//! The whole log of a command, compared with a snapshot: a reviewer reads the text as a user does, and a change of words
//! shows as a difference. `INSTA_UPDATE=always cargo xtask test --only log::whole` writes the snapshots.

use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use regex_lite::Regex;

use crate::support::{LAB, Namespace, Runner, program, role};

/// What changes from run to run, as a pattern and its replacement, in the order in which they are applied.
const VARIABLE_PARTS: &[(&str, &str)] = &[
    // Colors. Tests of `report` compare them.
    (r"\x1b\[[0-9;]*m", ""),
    // So that a reader sees the lines of an annotation as GitHub shows them.
    ("%0A", "%0A\n"),
    (r"(?m)^::add-mask::.+$", "::add-mask::SECRET"),
    // Only a slow machine prints these.
    (r"(?m)^  .*(: waiting for: |Retrying in ).*\n", ""),
    (r"(?m)^( *[✓!✗-] .*) \(\d+\.\d+ s\)$", "$1"),
    (r"\(\d+\.\d+ s\)", "(N s)"),
    (
        r"takes \d+ ms \(median of 5, \d+ to \d+ ms\)",
        "takes N ms (median of 5, N to N ms)",
    ),
    (r"\d+\.\d of \d+\.\d GiB used \(\d+ %\)", "N of N GiB used (N %)"),
    (r"valid until \d\d:\d\d:\d\dZ", "valid until HH:MM:SSZ"),
    // The kubelet reports the failed pull, or that it waits before the next.
    (r#"Back-off pulling image "[^"]+": ErrImagePull: "#, ""),
    (r"checksum/config: [0-9a-f]{64}", "checksum/config: HASH"),
    (
        r"remote-buildkit-agent-[0-9a-f]{8}\b",
        "remote-buildkit-agent-RANDOM",
    ),
    (
        r"remote-buildkit-agent-[0-9a-z]{7,10}-[0-9a-z]{5}\b",
        "remote-buildkit-agent-POD",
    ),
    // What the processor supports, natively and emulated.
    (r"linux/amd64(, linux/[a-z0-9/]+)+", "linux/amd64, …"),
    (r"buildx v[0-9.]+", "buildx vN"),
    (r"BuildKit v[0-9.]+", "BuildKit vN"),
];

/// Returns a log without what changes from run to run.
fn normalized(runner: &Runner, log: &str) -> Result<String> {
    let mut log = log.to_owned();
    for (path, name) in [
        (runner.home.as_path(), "$HOME"),
        (&runner.temp(), "$RUNNER_TEMP"),
        (&LAB.admin_kubeconfig, "$KUBECONFIG"),
    ] {
        log = log.replace(&*path.to_string_lossy(), name);
    }
    for (pattern, replacement) in VARIABLE_PARTS {
        log = Regex::new(pattern)?.replace_all(&log, *replacement).into_owned();
    }
    Ok(log)
}

/// Runs a command and returns its log and exit code, normalized. Both streams are one pipe, which keeps the order of their
/// lines.
fn log(runner: &mut Runner, mut command: Command) -> Result<String> {
    runner.reset_command_files()?;
    let (mut reader, writer) = std::io::pipe()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    // It holds the pipe open.
    drop(command);
    let mut log = String::new();
    reader.read_to_string(&mut log)?;
    let code = child.wait()?.code().context("a signal ended it")?;
    runner.read_command_files()?;
    normalized(runner, &format!("{log}exit code {code}\n"))
}

/// Returns a runner of a job that uses the action by its published name, so that errors link to their documentation.
fn job() -> Result<Runner> {
    let mut runner = Runner::new()?;
    for (name, value) in [
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_ACTION_REPOSITORY", "acme/remote-buildkit"),
        ("GITHUB_ACTION_REF", "v1"),
    ] {
        runner.env.insert(name.into(), value.into());
    }
    Ok(runner)
}

/// Returns a machine of a person: no job, and a private directory for temporary files.
fn machine() -> Result<Runner> {
    let mut runner = Runner::new()?;
    runner
        .env
        .retain(|name, _| !name.starts_with("GITHUB_") && name != "RUNNER_TEMP");
    let runtime = runner.temp().to_string_lossy().into_owned();
    runner.env.insert("XDG_RUNTIME_DIR".into(), runtime);
    Ok(runner)
}

fn connect(runner: &mut Runner, inputs: &[(&str, &str)]) -> Result<String> {
    let command = runner.connect_command(inputs);
    log(runner, command)
}

fn disconnect(runner: &mut Runner) -> Result<String> {
    let command = runner.disconnect_command();
    log(runner, command)
}

/// Runs `doctor` in a job, as a role.
fn doctor(runner: &mut Runner, role_name: &str, flags: &[&str]) -> Result<String> {
    let mut command = runner.command(program());
    command
        .args(["doctor", "--cluster", &LAB.cluster, "--region", &LAB.region])
        .args(["--role-to-assume", &role(role_name)])
        .args(flags);
    log(runner, command)
}

/// Runs a command by hand, with the administrator's kubeconfig.
fn by_hand(runner: &mut Runner, arguments: &[&str]) -> Result<String> {
    let mut command = runner.command(program());
    command
        .args(arguments)
        .arg("--kubeconfig")
        .arg(&LAB.admin_kubeconfig);
    log(runner, command)
}

#[test]
fn first_job_and_warm_job() -> Result<()> {
    let _namespace = Namespace::new("log-jobs")?;
    let inputs = [("namespace", "log-jobs"), ("storage", "60Gi")];
    let mut first = job()?;
    insta::assert_snapshot!("first_job", connect(&mut first, &inputs)?);
    insta::assert_snapshot!("post_step", disconnect(&mut first)?);
    insta::assert_snapshot!("warm_job", connect(&mut job()?, &inputs)?);
    let changed = [&inputs[..], &[("max-parallelism", "3")]].concat();
    insta::assert_snapshot!("job_with_other_inputs", connect(&mut job()?, &changed)?);
    insta::assert_snapshot!(
        "doctor_good",
        doctor(
            &mut job()?,
            "ci",
            &["--namespace", "log-jobs", "--storage", "60Gi"]
        )?
    );
    let updated = [&changed[..], &[("deploy", "always")]].concat();
    insta::assert_snapshot!("job_that_updates_the_agent", connect(&mut job()?, &updated)?);
    Ok(())
}

#[test]
fn jobs_that_aws_or_the_cluster_rejects() -> Result<()> {
    let _namespace = Namespace::new("log-rejected")?;
    let connect = |role_name: &str| {
        let role = role(role_name);
        connect(
            &mut job()?,
            &[("namespace", "log-rejected"), ("role-to-assume", &role)],
        )
    };
    insta::assert_snapshot!("role_that_cannot_be_assumed", connect("absent")?);
    insta::assert_snapshot!("role_without_describe_cluster", connect("ci-no-describe")?);
    insta::assert_snapshot!("role_without_access_entry", connect("ci-no-entry")?);
    insta::assert_snapshot!("role_without_rbac", connect("ci-no-rbac")?);
    let doctor = |role_name| doctor(&mut job()?, role_name, &["--namespace", "log-rejected"]);
    insta::assert_snapshot!("doctor_without_access_entry", doctor("ci-no-entry")?);
    insta::assert_snapshot!("doctor_without_rbac", doctor("ci-no-rbac")?);
    Ok(())
}

#[test]
fn job_whose_agent_cannot_start() -> Result<()> {
    let _namespace = Namespace::new("log-image")?;
    let image = format!("{}/absent:v1", LAB.registry);
    let inputs = [("namespace", "log-image"), ("image", image.as_str())];
    insta::assert_snapshot!("image_that_cannot_be_pulled", connect(&mut job()?, &inputs)?);
    Ok(())
}

#[test]
fn commands_by_hand() -> Result<()> {
    let _namespace = Namespace::new("log-by-hand")?;
    let mut machine = machine()?;
    let mut run = |arguments: &[&str]| by_hand(&mut machine, &[arguments, &["-n", "log-by-hand"]].concat());
    insta::assert_snapshot!("doctor_by_hand_without_an_agent", run(&["doctor"])?);
    insta::assert_snapshot!("connect_by_hand", run(&["connect"])?);
    insta::assert_snapshot!("destroy_without_yes", run(&["destroy"])?);
    insta::assert_snapshot!("destroy", run(&["destroy", "--yes"])?);
    insta::assert_snapshot!("destroy_with_volumes", run(&["destroy", "--yes", "--volumes"])?);
    insta::assert_snapshot!(
        "destroy_of_nothing",
        run(&["destroy", "--yes", "--name", "absent"])?
    );

    let builders = std::fs::read_dir(machine.home.join(".docker/buildx/instances"))?;
    let builder = builders.last().context("connect created no builder")??;
    let builder = builder.file_name().to_string_lossy().into_owned();
    let mut disconnect = |builder: &str| {
        let mut command = machine.command(program());
        command.args(["disconnect", "--builder", builder]);
        log(&mut machine, command)
    };
    insta::assert_snapshot!("disconnect_by_hand", disconnect(&builder)?);
    insta::assert_snapshot!("disconnect_of_an_unknown_builder", disconnect("mine")?);
    Ok(())
}
