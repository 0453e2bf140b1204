//! Docker's config file in the forms that users have it: changed for the job, then restored byte for byte.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::support::{LAB, Namespace, Runner};

const INPUTS: [(&str, &str); 2] = [("namespace", "docker-config"), ("ecr", "auto")];

fn config(runner: &Runner) -> PathBuf {
    runner.home.join(".docker/config.json")
}

/// Returns whether the config names the credential helper for the lab's ECR registry.
fn has_helper(runner: &Runner) -> Result<bool> {
    let text = std::fs::read(config(runner))?;
    let config: Value = serde_json::from_slice(&text)?;
    Ok(config["credHelpers"][&LAB.ecr] == "remote-buildkit")
}

#[test]
fn every_format_is_restored_byte_for_byte() -> Result<()> {
    let _namespace = Namespace::new("docker-config")?;
    let other = r#""https://index.docker.io/v1/": {"auth": "YTpi"}"#;
    for text in [
        "",
        "\n",
        "{}",
        " {\r\n\t\"psFormat\" : \"table {{.ID}}\",\r\n\t\"x\":[1,2 ,3]\r\n}\r\n\r\n",
        &format!("{{\"auths\": {{{other}}}, \"auths\": {{}}, \"credHelpers\": {{\"gcr.io\": \"gcloud\"}}}}"),
        &format!("{{\"auths\":{{{other}}},\"credsStore\":\"desktop\",\"\\u0061\\n\":\"\\ud83e\\udd80\"}}"),
        "{\"credHelpers\": null, \"HttpHeaders\": {\"User-Agent\": \"// no comment\"}}",
        "{\"CREDHELPERS\": {}}",
    ] {
        let mut runner = Runner::new()?;
        std::fs::write(config(&runner), text)?;
        std::fs::set_permissions(config(&runner), std::fs::Permissions::from_mode(0o640))?;
        let before = runner.tree()?;
        runner.connect(&INPUTS)?.ok()?;
        let after = std::fs::read_to_string(config(&runner))?;
        ensure!(
            after.contains(&LAB.ecr) && after.contains("remote-buildkit"),
            "{text:?} became {after:?}"
        );
        let mode = std::fs::metadata(config(&runner))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "{text:?}");
        runner.disconnect()?.ok()?;
        assert_eq!(runner.tree()?, before, "{text:?}");
    }
    Ok(())
}

#[test]
fn symbolic_link_is_kept() -> Result<()> {
    let _namespace = Namespace::new("docker-config-link")?;
    let inputs = [("namespace", "docker-config-link"), ("ecr", "auto")];
    let mut runner = Runner::new()?;
    let real = runner.home.join("dotfiles.json");
    std::fs::write(&real, "{\"psFormat\": \"x\"}\n")?;
    symlink("../dotfiles.json", config(&runner))?;
    runner.connect(&inputs)?.ok()?;
    ensure!(has_helper(&runner)?, "not named");
    ensure!(
        std::fs::symlink_metadata(config(&runner))?.is_symlink(),
        "no link any more"
    );
    runner.disconnect()?.ok()?;
    ensure!(
        std::fs::symlink_metadata(config(&runner))?.is_symlink(),
        "no link any more"
    );
    assert_eq!(std::fs::read_to_string(&real)?, "{\"psFormat\": \"x\"}\n");
    Ok(())
}

#[test]
fn malformed_or_read_only_config_fails_at_once() -> Result<()> {
    for text in ["{", "[]", "{\"credHelpers\": 1}", "{\"auths\": {}} // a comment"] {
        let mut runner = Runner::new()?;
        std::fs::write(config(&runner), text)?;
        let before = runner.tree()?;
        let outcome = runner.connect(&[("namespace", "nowhere"), ("ecr", "auto")])?;
        outcome.expect_error("Docker config cannot be used", &["It was not changed"])?;
        assert_eq!(runner.tree()?, before, "{text}");
    }
    let mut runner = Runner::new()?;
    std::fs::write(config(&runner), "{}")?;
    let before = runner.tree()?;
    // A read-only mount applies to root as well.
    let dir = runner.home.join(".docker");
    let read_only = format!(
        "mount --bind {0} {0} && mount -o remount,ro,bind {0} && exec \"$@\"",
        dir.display()
    );
    let connect = runner.connect_command(&[("namespace", "nowhere"), ("ecr", "auto")]);
    let mut command = runner.command("unshare");
    command
        .args(["--mount", "sh", "-c", &read_only, "sh"])
        .arg(connect.get_program())
        .args(connect.get_args());
    for (name, value) in connect.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let outcome = runner.step(command)?;
    outcome.expect_error("Cannot write file", &["Read-only file system"])?;
    assert_eq!(runner.tree()?, before);
    Ok(())
}

#[test]
fn jobs_with_a_shared_home_end_in_any_order() -> Result<()> {
    let _namespace = Namespace::new("docker-config-two")?;
    let inputs = [("namespace", "docker-config-two"), ("ecr", "auto")];
    for second_ends_first in [false, true] {
        let home = tempfile::tempdir()?;
        let text = "{\n  \"psFormat\": \"x\"\n}";
        let mut first = Runner::with_home(home.path())?;
        std::fs::write(config(&first), text)?;
        let mut second = Runner::with_home(home.path())?;
        first.connect(&inputs)?.ok()?;
        second.connect(&inputs)?.ok()?;
        let (mut ends, mut goes_on) = if second_ends_first {
            (second, first)
        } else {
            (first, second)
        };
        ends.disconnect()?.ok()?;
        ensure!(has_helper(&goes_on)?, "the other job's entry is gone");
        ensure!(
            goes_on.credential_helper("get", &LAB.ecr)?.0 == Some(0),
            "its login is gone"
        );
        goes_on.disconnect()?.ok()?;
        assert_eq!(std::fs::read_to_string(config(&goes_on))?, text);
    }
    Ok(())
}
