//! `doctor` on a healthy cluster, and with problems.

mod hangs;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support::{LAB, Namespace, Outcome, Runner, program, role};

/// Returns the log without colors.
fn uncolored(log: &str) -> String {
    let mut parts = log.split('\u{1b}');
    let first = parts.next().unwrap_or_default();
    let rest = parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text));
    std::iter::once(first).chain(rest).collect()
}

/// Runs `doctor` with flags, as a step does.
fn doctor(runner: &mut Runner, role_name: &str, flags: &[&str]) -> Result<Outcome> {
    let command = doctor_command(runner, role_name, flags);
    runner.step(command)
}

fn doctor_command(runner: &Runner, role_name: &str, flags: &[&str]) -> Command {
    let mut command = runner.command(program());
    command.args(["doctor", "--cluster", &LAB.cluster, "--region", &LAB.region]);
    command.args(["--role-to-assume", &role(role_name)]).args(flags);
    command
}

/// Parses the rows of `--json` by their names, and checks the fields of each.
fn rows(outcome: &Outcome) -> Result<BTreeMap<String, Value>> {
    let rows: Vec<Value> = serde_json::from_str(&outcome.log).with_context(|| outcome.log.clone())?;
    let mut found = BTreeMap::new();
    for row in rows {
        let text = |field: &str| {
            row[field]
                .as_str()
                .with_context(|| format!("no {field} in {row}"))
        };
        let (name, status) = (text("check")?, text("status")?);
        ensure!(!text("found")?.is_empty(), "`found` is empty: {row}");
        let remedy = text("remedy")?;
        ensure!(
            remedy.is_empty() == ["ok", "skipped"].contains(&status),
            "only warnings and failures have a remedy: {row}"
        );
        found.insert(name.to_owned(), row);
    }
    Ok(found)
}

/// Checks that a row has this status, and that its finding or remedy contains these words.
fn expect_row(rows: &BTreeMap<String, Value>, check: &str, expected: &str, words: &[&str]) -> Result<()> {
    let row = rows
        .get(check)
        .with_context(|| format!("no {check} in {rows:#?}"))?;
    ensure!(row["status"] == expected, "{check} is not {expected}: {row:#}");
    for word in words {
        let found = [&row["found"], &row["remedy"]]
            .iter()
            .any(|text| text.as_str().is_some_and(|t| t.contains(word)));
        ensure!(found, "{word:?} is not in {row:#}");
    }
    Ok(())
}

#[test]
fn all_checks_pass_with_a_running_agent() -> Result<()> {
    let namespace = Namespace::new("doctor-well")?;
    let mut runner = Runner::new()?;
    runner.connect(&[("namespace", "doctor-well")])?.ok()?;
    runner.disconnect()?.ok()?;
    let before = runner.tree()?;
    let objects = || namespace.names("deployment,configmap,pvc,pod");
    let created = objects()?;

    let table = doctor(&mut runner, "ci", &["--namespace", "doctor-well"])?.ok()?;
    let row = |name: &str| {
        uncolored(&table.log)
            .lines()
            .any(|line| line.starts_with(&format!("✓ {name} ")))
    };
    for check in [
        "identity",
        "cluster",
        "token",
        "rbac pods/exec",
        "agent",
        "volume",
        "disk",
        "build",
        "cache",
    ] {
        ensure!(row(check), "{check} is not ✓: {}", table.log);
    }
    ensure!(table.log.ends_with("A build would work.\n"), "{}", table.log);
    ensure!(!table.log.contains("::add-mask"), "{}", table.log);

    let rows = rows(&doctor(&mut runner, "ci", &["--namespace", "doctor-well", "--json"])?.ok()?)?;
    // The role may not read StorageClasses, and the volume exists.
    let unneeded = ["csi-driver", "storage-class"];
    for check in unneeded {
        expect_row(
            &rows,
            check,
            "skipped",
            &["not needed: no agent is known to need a new volume"],
        )?;
    }
    let other = rows
        .iter()
        .filter(|(check, row)| row["status"] != "ok" && !unneeded.contains(&check.as_str()));
    let other: Vec<_> = other.collect();
    ensure!(other.is_empty(), "{other:#?}");
    expect_row(&rows, "cache", "ok", &["came from the cache"])?;
    expect_row(&rows, "identity", "ok", &[&role("ci")])?;
    expect_row(
        &rows,
        "token",
        "ok",
        &["acme-shop-4711", "ci, system:authenticated"],
    )?;
    ensure!(rows["exec"]["milliseconds"].is_u64(), "{:#}", rows["exec"]);

    // With other inputs, without and with `deploy: always`.
    let mut run = |flags: &[&str]| -> Result<(Option<i32>, BTreeMap<String, Value>)> {
        let usual = ["--namespace", "doctor-well", "--json"];
        let outcome = doctor(&mut runner, "ci", &[&usual, flags].concat())?;
        Ok((outcome.code, self::rows(&outcome)?))
    };
    let (code, rows) = run(&["--max-parallelism", "3"])?;
    expect_row(
        &rows,
        "agent",
        "warning",
        &["it differs from the inputs in spec.template", "`deploy: always`"],
    )?;
    assert_eq!(code, Some(0), "a warning is no failure");
    let (code, rows) = run(&["--max-parallelism", "3", "--deploy", "always"])?;
    expect_row(&rows, "agent", "warning", &["its pod would be replaced"])?;
    assert_eq!(code, Some(0));
    let (code, rows) = run(&["--storage", "1Gi", "--deploy", "always"])?;
    expect_row(&rows, "agent", "failed", &["volumes only grow"])?;
    assert_eq!(code, Some(1));

    // Nothing is left on the machine, and nothing was created.
    assert_eq!(runner.tree()?, before);
    assert_eq!(objects()?, created);
    Ok(())
}

#[test]
fn an_absent_agent_would_be_deployed() -> Result<()> {
    let namespace = Namespace::new("doctor-absent")?;
    let mut runner = Runner::new()?;
    let before = runner.tree()?;
    let flags = ["--namespace", "doctor-absent", "--json"];
    let absent = doctor(&mut runner, "ci", &flags)?;
    ensure!(absent.code == Some(1), "{}", absent.log);
    let found = rows(&absent)?;
    expect_row(
        &found,
        "agent",
        "failed",
        &["connect would deploy it", "accepted a dry run"],
    )?;
    expect_row(&found, "volume", "skipped", &["created with the agent"])?;
    expect_row(&found, "build", "skipped", &["skipped (requires agent)"])?;

    // The row contains the reason if the server rejects the dry run.
    let patch = "spec: {template: {spec: {containers: [{name: buildkitd, imagine: this}]}}}";
    let refused = rows(&doctor(
        &mut runner,
        "ci",
        &[&flags[..], &["--patch", patch]].concat(),
    )?)?;
    expect_row(&refused, "agent", "failed", &["imagine"])?;

    // A StorageClass that does not exist.
    let class = rows(&doctor(
        &mut runner,
        "ci",
        &[&flags[..], &["--storage-class", "tape"]].concat(),
    )?)?;
    expect_row(
        &class,
        "storage-class",
        "warning",
        &["no permission to read StorageClasses", "storageclasses"],
    )?;

    let never = rows(&doctor(
        &mut runner,
        "ci",
        &[&flags[..], &["--deploy", "never"]].concat(),
    )?)?;
    expect_row(&never, "agent", "failed", &["does not exist"])?;

    assert_eq!(runner.tree()?, before);
    ensure!(
        namespace.names("deployment,pvc")?.is_empty(),
        "something was created"
    );
    Ok(())
}

/// Runs with an administrator's permissions.
#[test]
fn storage_classes_and_drivers_are_checked() -> Result<()> {
    let namespace = Namespace::new("doctor-storage")?;
    let csi = "
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: doctor-disk}
provisioner: disk.csi.example.com
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: doctor-driver}
provisioner: driver.csi.example.com
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: driver.csi.example.com}
spec: {attachRequired: false}
";
    namespace.apply(csi)?;
    let run_doctor = |class: Option<&str>| -> Result<BTreeMap<String, Value>> {
        let runner = Runner::new()?;
        let mut command = runner.command(program());
        command.args([
            "doctor",
            "--json",
            "--namespace",
            "doctor-storage",
            "--kubeconfig",
        ]);
        command.arg(&LAB.admin_kubeconfig);
        let output = command
            .args(class.map(|class| format!("--storage-class={class}")))
            .output()?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        let log = String::from_utf8(output.stdout)?;
        rows(&Outcome {
            code: Some(1),
            log,
            outputs: BTreeMap::new(),
            seconds: 0.0,
        })
    };
    let default = run_doctor(None)?;
    expect_row(
        &default,
        "storage-class",
        "ok",
        &["gp3 (default)", "can be expanded"],
    )?;
    expect_row(&default, "csi-driver", "ok", &["kubernetes.io/no-provisioner"])?;
    expect_row(&default, "token", "ok", &["system:masters"])?;
    ensure!(!default.contains_key("identity"), "{default:#?}");

    let none = run_doctor(Some("tape"))?;
    expect_row(
        &none,
        "storage-class",
        "failed",
        &["the StorageClass tape does not exist", "`storage-class`"],
    )?;
    expect_row(&none, "csi-driver", "skipped", &["storage-class"])?;

    let missing = run_doctor(Some("doctor-disk"))?;
    expect_row(
        &missing,
        "csi-driver",
        "failed",
        &["disk.csi.example.com is not installed"],
    )?;
    let nowhere = run_doctor(Some("doctor-driver"))?;
    expect_row(&nowhere, "csi-driver", "failed", &["runs on none of the"])?;

    let classes = ["delete", "storageclass/doctor-disk", "storageclass/doctor-driver"];
    namespace.kubectl(&[&classes[..], &["csidriver/driver.csi.example.com"]].concat())?;
    Ok(())
}

#[test]
fn roles_without_a_permission() -> Result<()> {
    let _namespace = Namespace::new("doctor-roles")?;
    let run_doctor = |role: &str| -> Result<BTreeMap<String, Value>> {
        let outcome = doctor(
            &mut Runner::new()?,
            role,
            &["--namespace", "doctor-roles", "--json"],
        )?;
        ensure!(outcome.code == Some(1), "{}", outcome.log);
        rows(&outcome)
    };
    let no_entry = run_doctor("ci-no-entry")?;
    expect_row(&no_entry, "cluster", "ok", &[])?;
    expect_row(
        &no_entry,
        "token",
        "failed",
        &["401", "aws eks create-access-entry", &role("ci-no-entry")],
    )?;
    expect_row(
        &no_entry,
        "rbac pods/exec",
        "skipped",
        &["skipped (requires token)"],
    )?;
    expect_row(&no_entry, "cache", "skipped", &["skipped (requires token)"])?;

    let no_describe = run_doctor("ci-no-describe")?;
    expect_row(&no_describe, "identity", "ok", &[&role("ci-no-describe")])?;
    expect_row(
        &no_describe,
        "cluster",
        "failed",
        &["AccessDenied", "eks:DescribeCluster"],
    )?;
    expect_row(&no_describe, "token", "skipped", &["skipped (requires cluster)"])?;

    let no_rbac = run_doctor("ci-no-rbac")?;
    expect_row(&no_rbac, "token", "ok", &["nobody-in-particular"])?;
    for check in ["rbac deployments", "rbac pods", "rbac pods/exec"] {
        expect_row(&no_rbac, check, "failed", &["needed to build", "Bind a Role"])?;
    }
    expect_row(
        &no_rbac,
        "rbac configmaps",
        "failed",
        &["denied: get, create, patch"],
    )?;
    expect_row(&no_rbac, "agent", "failed", &["cannot get resource"])?;
    Ok(())
}

/// A buildx that reports another version, and otherwise is the real one.
#[test]
fn an_old_buildx_is_reported() -> Result<()> {
    let _namespace = Namespace::new("doctor-buildx")?;
    for (version, expected, words) in [
        ("v0.35.0", "warning", ["docker/buildx#3966", "0.37.0 or newer"]),
        ("v0.14.1", "failed", ["docker/buildx#2492", "0.37.0 or newer"]),
    ] {
        let mut runner = Runner::new()?;
        replace_buildx(
            &runner,
            &format!("*version) echo github.com/docker/buildx {version} 0123abc"),
        )?;
        let outcome = doctor(&mut runner, "ci", &["--namespace", "doctor-buildx", "--json"])?;
        expect_row(&rows(&outcome)?, "buildx", expected, &words)?;
    }
    Ok(())
}

#[test]
fn invalid_inputs_are_a_row() -> Result<()> {
    let outcome = doctor(&mut Runner::new()?, "ci", &["--storage", "much", "--json"])?;
    ensure!(outcome.code == Some(1), "{}", outcome.log);
    let rows = rows(&outcome)?;
    expect_row(&rows, "inputs", "failed", &["`storage: much`"])?;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    Ok(())
}

/// Replaces buildx with a script that handles one case itself, and passes all other calls on.
fn replace_buildx(runner: &Runner, case: &str) -> Result<()> {
    let plugin = runner.home.join(".docker/cli-plugins/docker-buildx");
    let real = LAB.bin.join("docker-buildx");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in {case};; *) exec {} \"$@\";; esac\n",
        real.display()
    );
    std::fs::remove_file(&plugin)?;
    std::fs::write(&plugin, script)?;
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Checks the rows of `doctor` that `connect` prints above its error.
#[test]
fn a_failed_connect_prints_the_checks_that_explain_it() -> Result<()> {
    let _namespace = Namespace::new("doctor-explains")?;
    let explained = |role_name: &str, inputs: &[(&str, &str)]| -> Result<String> {
        let role = role(role_name);
        let usual = [
            ("namespace", "doctor-explains"),
            ("role-to-assume", role.as_str()),
        ];
        let outcome = Runner::new()?.connect(&[&usual, inputs].concat())?;
        ensure!(outcome.code == Some(1), "{}", outcome.log);
        let (_, part) = outcome
            .log
            .split_once("remote-buildkit doctor found:\n")
            .with_context(|| outcome.log.clone())?;
        let (part, _) = part.split_once("::error title=").context("no error after it")?;
        Ok(uncolored(part))
    };
    let has = |part: &str, rows: &[&str]| {
        for row in rows {
            ensure!(part.contains(row), "{row:?} is not in {part}");
        }
        Ok(())
    };
    let aws = explained("ci-no-describe", &[])?;
    has(&aws, &["✓ identity", "✗ cluster", "→ Add to the role's policy"])?;
    ensure!(!aws.contains("agent"), "{aws}");
    let token = explained("ci-no-entry", &[])?;
    has(&token, &["✗ token", "create-access-entry"])?;
    ensure!(!token.contains("identity"), "{token}");
    let rbac = explained("ci-no-rbac", &[])?;
    has(&rbac, &["✓ token", "✗ rbac deployments", "✗ rbac pods/exec"])?;
    let storage = explained("ci", &[("storage-class", "tape")])?;
    has(
        &storage,
        &[
            "✗ volume",
            "is Pending",
            "✗ agent",
            "storageclass.storage.k8s.io \"tape\" not found",
        ],
    )?;
    Ok(())
}
