//! The command `setup`, run by an administrator: from nothing to a build, a second time, and with what is in its way.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::support::{LAB, Namespace, Outcome, Runner, emulator, kubectl, program, role, run};

/// The lab's cluster, whose authentication mode a test changes.
static CLUSTER: Mutex<()> = Mutex::new(());

/// Waits until no other test sets up the cluster.
pub(crate) fn cluster() -> MutexGuard<'static, ()> {
    CLUSTER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns an administrator's machine, signed in as a role.
fn administrator(of_role: &str) -> Result<Runner> {
    let mut runner = Runner::new()?;
    runner.export_keys(of_role)?;
    // Not a job.
    runner.env.remove("GITHUB_ACTIONS");
    Ok(runner)
}

/// Runs `setup` with these flags, for the lab's cluster.
fn setup(administrator: &mut Runner, flags: &[&str]) -> Result<Outcome> {
    let mut command = administrator.command(program());
    command
        .args(["setup", "--cluster", &LAB.cluster, "--region", &LAB.region])
        .args(flags);
    administrator.step(command)
}

/// Calls AWS as the account's root.
fn aws(arguments: &[&str]) -> Result<String> {
    let runner = Runner::new()?;
    let mut cli = runner.command(&LAB.aws_cli);
    cli.env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_DEFAULT_REGION", &LAB.region)
        .args(arguments);
    run(&mut cli)
}

/// Returns the calls of this administrator that changed something in AWS.
fn changes(administrator: &Runner) -> Result<Vec<String>> {
    let mut curl = Command::new("curl");
    curl.args(["-sf", "--noproxy", "*"])
        .arg(format!("{}/_stub/log", LAB.aws_endpoint));
    let log: Vec<Value> = serde_json::from_str(&run(&mut curl)?)?;
    let key = &administrator.env["AWS_ACCESS_KEY_ID"];
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let reads = ["Get", "List", "Describe", "AssumeRole"];
    let changes = log
        .iter()
        .filter(|entry| text(entry, "key") == *key)
        .filter_map(|entry| {
            let (op, method, path) = (text(entry, "op"), text(entry, "method"), text(entry, "path"));
            let is_read = method == "GET" || reads.iter().any(|prefix| op.starts_with(prefix));
            (!is_read).then(|| format!("{method} {path} {op}"))
        });
    Ok(changes.collect())
}

/// Returns the lines of the plan that change something.
fn planned(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.log.lines();
    lines
        .filter(|line| line.starts_with("  + ") || line.starts_with("  ~ "))
        .collect()
}

/// Tries to assume the role with a token of this subject.
fn can_assume(name: &str, subject: &str) -> Result<bool> {
    let token = emulator("/_stub/jwt", &json!({ "claims": { "sub": subject } }))?;
    let runner = Runner::new()?;
    let mut cli = runner.command(&LAB.aws_cli);
    cli.args([
        "sts",
        "assume-role-with-web-identity",
        "--role-session-name",
        "setup",
    ])
    .args(["--role-arn", &role(name)])
    .args(["--web-identity-token", token["value"].as_str().context("a JWT")?]);
    Ok(run(&mut cli).is_ok())
}

#[test]
fn from_nothing_to_a_build_and_again() -> Result<()> {
    let _cluster = cluster();
    let _namespace = Namespace("setup".into());
    let mut administrator = administrator("admin")?;
    let flags = [
        "--repository",
        "acme@1/shop@2",
        "--role-name",
        "setup-jobs",
        "-n",
        "setup",
        "--yes",
    ];

    let first = setup(&mut administrator, &flags)?.ok()?;
    for line in [
        "  = OIDC identity provider token.actions.githubusercontent.com",
        "  + IAM role setup-jobs",
        "  + access entry of the role setup-jobs",
        "  + Namespace setup",
        "  + RoleBinding setup/remote-buildkit-use",
        "  = StorageClass gp3, the default",
        "  + Agent setup/remote-buildkit-agent",
    ] {
        ensure!(
            first.log.lines().any(|found| found == line),
            "no {line}: {}",
            first.log
        );
    }
    let role_to_assume = role("setup-jobs");
    let input = format!("role-to-assume: {role_to_assume}");
    ensure!(first.log.contains(&input), "no workflow: {}", first.log);

    // The role is for this repository alone, by both forms of the subject.
    for (subject, expected) in [
        ("repo:acme/shop:ref:refs/heads/main", true),
        ("repo:acme@1/shop@2:ref:refs/heads/main", true),
        ("repo:acme/shop2:ref:refs/heads/main", false),
        ("repo:acme@1/shop@22:ref:refs/heads/main", false),
        ("repo:acme@3/shop@2:ref:refs/heads/main", false),
    ] {
        ensure!(can_assume("setup-jobs", subject)? == expected, "{subject}");
    }

    // A job builds with it.
    let mut runner = Runner::new()?;
    let inputs = [
        ("role-to-assume", role_to_assume.as_str()),
        ("namespace", "setup"),
        ("deploy", "never"),
    ];
    runner.connect(&inputs)?.ok()?;
    let log = runner.build("RUN echo built by the new role")?;
    ensure!(log.contains("built by the new role"), "{log}");
    runner.disconnect()?.ok()?;

    // The second time, nothing changes and nobody is asked.
    let before = changes(&administrator)?;
    let again = setup(&mut administrator, &flags[..flags.len() - 1])?.ok()?;
    ensure!(planned(&again).is_empty(), "{}", again.log);
    ensure!(again.log.contains("nothing to change"), "{}", again.log);
    assert_eq!(changes(&administrator)?, before);

    // A repository that no flag names is removed from the role.
    let other = [
        "--repository",
        "acme@1/web@3",
        "--role-name",
        "setup-jobs",
        "-n",
        "setup",
        "--yes",
    ];
    let other = setup(&mut administrator, &other)?.ok()?;
    assert_eq!(planned(&other), ["  ~ trust policy of the IAM role setup-jobs"]);
    ensure!(
        !can_assume("setup-jobs", "repo:acme/shop:ref:refs/heads/main")?,
        "still admitted"
    );
    ensure!(
        can_assume("setup-jobs", "repo:acme/web:ref:refs/heads/main")?,
        "not admitted"
    );
    Ok(())
}

#[test]
fn a_role_of_others_is_left_alone() -> Result<()> {
    let _cluster = cluster();
    let mut administrator = administrator("admin")?;
    let policy = ["iam", "get-role", "--role-name", "ci-no-rbac"];
    let before = aws(&policy)?;
    let flags = [
        "--repository",
        "acme@1/shop@2",
        "--role-name",
        "ci-no-rbac",
        "-n",
        "setup-conflict",
        "--yes",
    ];
    let refused = setup(&mut administrator, &flags)?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    ensure!(
        refused.log.contains("Setup conflicts with what exists"),
        "{}",
        refused.log
    );
    ensure!(
        refused.log.contains("another name with --role-name")
            || refused.log.contains("another name with `--role-name`"),
        "{}",
        refused.log
    );
    assert_eq!(aws(&policy)?, before);
    assert_eq!(changes(&administrator)?, Vec::<String>::new());
    ensure!(
        kubectl(&["get", "namespace", "setup-conflict"]).is_err(),
        "a namespace was created"
    );
    Ok(())
}

/// A run that ends for want of a permission is continued by the next one.
#[test]
fn a_missing_permission_is_named() -> Result<()> {
    let _cluster = cluster();
    let _namespace = Namespace("setup-limited".into());
    let mut administrator = administrator("limited-admin")?;
    let flags = [
        "--repository",
        "acme@1/shop@2",
        "--role-name",
        "setup-limited",
        "-n",
        "setup-limited",
        "--yes",
    ];
    for action in [
        "iam:GetOpenIDConnectProvider",
        "iam:GetRole",
        "eks:DescribeAccessEntry",
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "eks:CreateAccessEntry",
    ] {
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{ "Effect": "Allow", "NotAction": action, "Resource": "*" }],
        });
        aws(&[
            "iam",
            "put-role-policy",
            "--role-name",
            "limited-admin",
            "--policy-name",
            "all",
            "--policy-document",
            &policy.to_string(),
        ])?;
        let refused = setup(&mut administrator, &flags)?;
        ensure!(refused.code == Some(1), "{action}: {}", refused.log);
        ensure!(
            refused.log.contains("AWS permission denied"),
            "{action}: {}",
            refused.log
        );
        let statement = format!("\"Effect\": \"Allow\", \"Action\": \"{action}\", \"Resource\": \"arn:");
        ensure!(refused.log.contains(&statement), "{action}: {}", refused.log);
    }
    ensure!(
        kubectl(&["get", "namespace", "setup-limited"]).is_err(),
        "a namespace was created"
    );
    Ok(())
}

#[test]
fn the_authentication_mode_is_changed_only_when_asked_to() -> Result<()> {
    let _cluster = cluster();
    let _namespace = Namespace("setup-mode".into());
    let mut administrator = administrator("admin")?;
    let mode = |mode: &str| {
        aws(&[
            "eks",
            "update-cluster-config",
            "--name",
            &LAB.cluster,
            "--access-config",
            &format!("authenticationMode={mode}"),
        ])
    };
    let flags = [
        "--repository",
        "acme@1/shop@2",
        "--role-name",
        "setup-mode",
        "-n",
        "setup-mode",
        "--yes",
    ];
    mode("CONFIG_MAP")?;
    let refused = setup(&mut administrator, &flags);
    let changed = changes(&administrator)?;
    let allowed = setup(
        &mut administrator,
        &[&flags[..], &["--change-authentication-mode"]].concat(),
    );
    mode("API_AND_CONFIG_MAP")?;
    let refused = refused?;
    ensure!(refused.code == Some(1), "{}", refused.log);
    ensure!(refused.log.contains("which cannot be undone"), "{}", refused.log);
    assert_eq!(changed, Vec::<String>::new());
    let allowed = allowed?.ok()?;
    ensure!(
        allowed.log.contains("Changed: authentication mode"),
        "{}",
        allowed.log
    );
    ensure!(allowed.log.contains("Created: access entry"), "{}", allowed.log);
    Ok(())
}

/// A cluster of a kubeconfig gets the Kubernetes half, and AWS is not contacted.
#[test]
fn a_cluster_of_a_kubeconfig() -> Result<()> {
    let _namespace = Namespace("setup-kubeconfig".into());
    let mut administrator = Runner::new()?;
    administrator.env.remove("GITHUB_ACTIONS");
    administrator
        .env
        .insert("AWS_ENDPOINT_URL".into(), "http://127.0.0.1:9".into());
    let run_setup = |administrator: &mut Runner, more: &[&str]| {
        let mut command = administrator.command(program());
        command
            .args(["setup", "-n", "setup-kubeconfig", "--kubeconfig"])
            .arg(&LAB.admin_kubeconfig)
            .args(more);
        administrator.step(command)
    };
    let first = run_setup(&mut administrator, &["--yes"])?.ok()?;
    ensure!(
        first
            .log
            .contains("  + Agent setup-kubeconfig/remote-buildkit-agent"),
        "{}",
        first.log
    );
    ensure!(
        first.log.contains("group remote-buildkit:setup-kubeconfig"),
        "{}",
        first.log
    );
    let again = run_setup(&mut administrator, &[])?.ok()?;
    ensure!(planned(&again).is_empty(), "{}", again.log);
    Ok(())
}
