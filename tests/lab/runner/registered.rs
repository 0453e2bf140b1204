//! Tests that one call sets up a machine and registers it as a GitHub runner.

use anyhow::{Context, Result, ensure};

use crate::support::{BareMachine, Namespace, output, run};
use github::{APP, CONFIGURATION, FakeRunnerApi, FakeState, PKCS1};

#[path = "../../../src/github/api/runners/tests/fake_github.rs"]
mod github;

/// A stand-in for the runner's `run.sh`: prints its user, its environment, and which processes show the secret.
const RUN: &str = r#"#!/bin/sh
id -un; pwd; echo "HOME=$HOME arguments=$# token=${GITHUB_TOKEN:-none}"
echo "configuration=$ACTIONS_RUNNER_INPUT_JITCONFIG"
echo "processes:"; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' '
"#;

#[test]
fn runner_starts_as_its_user_and_the_secret_is_not_visible() -> Result<()> {
    let _namespace = Namespace::new("registered")?;
    let bare = BareMachine::new("registered")?;
    bare.machine.write("/opt/actions-runner/run.sh", RUN, 0o755)?;
    bare.machine.write("/opt/app.pem", PKCS1, 0o600)?;
    let github = FakeRunnerApi::new(FakeState {
        scope: "/orgs/acme",
        groups: vec!["Default".into(), "gpu".into()],
        permitted: true,
        ..FakeState::default()
    });
    let url = format!("--github-url={}/acme", github.host);
    let app = format!("--github-app-id={APP}");
    let flags = [
        &url,
        &app,
        "--github-app-key-file=/opt/app.pem",
        "--runner-name=i-0abc",
        "--runner-labels=self-hosted,gpu",
        "--runner-group=gpu",
    ];
    let log = run(bare.runner(&flags).env("GITHUB_TOKEN", "secret-token"))?;
    let registered =
        "Registered the GitHub runner i-0abc in the organization acme with the labels self-hosted, gpu";
    let position = |text: &str| log.find(text).with_context(|| format!("{text}: {log}"));
    ensure!(
        position(": selected, for every job")? < position(registered)?,
        "{log}"
    );
    let (before, runner) = log.split_once(registered).context("registered")?;
    ensure!(!before.contains(CONFIGURATION), "{before}");
    for line in [
        "\nrunner\n/opt/actions-runner\n",
        "HOME=/home/runner arguments=0 token=none",
        &format!("configuration={CONFIGURATION}"),
    ] {
        ensure!(runner.contains(line), "{line}: {runner}");
    }
    let (_, processes) = runner.split_once("processes:").context("processes")?;
    ensure!(
        processes.contains("run.sh") && !processes.contains(CONFIGURATION),
        "{processes}"
    );
    let mut grep = std::process::Command::new("grep");
    let found = output(
        grep.args(["-rlF", "--exclude-dir=proc", "--exclude-dir=dev", CONFIGURATION])
            .arg(bare.machine.root()),
    )?;
    ensure!(
        found.stdout.is_empty(),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
    let request = github.body("POST /orgs/acme/actions/runners/generate-jitconfig");
    ensure!(request["runner_group_id"] == 1, "{request}");
    Ok(())
}

#[test]
fn failed_setup_does_not_register_a_runner() -> Result<()> {
    let mut bare = BareMachine::new("nowhere")?;
    bare.machine.write("/opt/actions-runner/run.sh", RUN, 0o755)?;
    let github = FakeRunnerApi::new(FakeState {
        scope: "/orgs/acme",
        ..FakeState::default()
    });
    bare.env.push(("GITHUB_TOKEN".into(), github::TOKEN.into()));
    let log = bare.setup_fails(&[&format!("--github-url={}/acme", github.host), "--deploy=never"])?;
    ensure!(github.requests().is_empty(), "{:?}", github.requests());
    ensure!(!log.contains("configuration="), "{log}");
    Ok(())
}
