//! Tests a complete setup: from a machine without any programs to a pushed image, and back.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::support::{BareMachine, LAB, Namespace, run};

/// Returns the tags of a repository in the account's registry, from the registry that stands in for ECR.
fn tags(repository: &str) -> Result<String> {
    let mut curl = Command::new("curl");
    run(curl
        .args(["-sf", "--noproxy", "*"])
        .arg(format!("{}/v2/{repository}/tags/list", LAB.ecr_content)))
}

/// Runs the build command in a job that has no step of remote-buildkit. Returns the log.
fn workflow(bare: &BareMachine, build: &str) -> Result<String> {
    bare.run_job(&format!(
        "      - run: |\n          cd /home/runner/work\n          {build}\n"
    ))
}

/// Sets up a machine twice, builds and pushes twice, and removes the setup. `build` is the build command, which
/// depends on the programs of the machine.
fn builds_and_pushes(bare: &BareMachine, name: &str, build: &str) -> Result<()> {
    bare.repository("RUN echo layer > /layer")?;
    let before = bare.machine.tree()?;

    let first = bare.set_up(&["--ecr=auto"])?;
    for text in [
        "buildx v0.38.2: installed as /usr/local/lib/docker/cli-plugins/docker-buildx",
        "installed, /usr/local/bin/remote-buildkit",
        "did not exist; deployed it",
        &format!("Logged in to {}", LAB.ecr),
        ": selected, for every job of this user",
    ] {
        ensure!(first.contains(text), "{text}: {first}");
    }
    let after = bare.machine.tree()?;
    let again = bare.set_up(&["--ecr=auto"])?;
    ensure!(
        !again.contains("installed") && !again.contains(": selected"),
        "{again}"
    );
    ensure!(again.contains(": unchanged, for every job"), "{again}");
    bare.ensure_unchanged(&after)?;

    let one = workflow(bare, build)?;
    ensure!(!one.contains("CACHED"), "{one}");
    let two = workflow(bare, build)?;
    ensure!(two.contains("CACHED"), "{two}");
    ensure!(tags(name)?.contains("latest"), "not pushed");
    let config = bare.json(".docker/config.json")?;
    ensure!(config["auths"].is_null(), "{config}");

    let removed = bare.remove()?;
    ensure!(removed.contains("the agent and its cache are kept"), "{removed}");
    bare.ensure_unchanged(&before)
}

#[test]
fn without_docker_buildx_builds_and_pushes() -> Result<()> {
    let _namespace = Namespace::new("bare")?;
    let bare = BareMachine::new("bare")?;
    let curl_status = "curl -s -o /dev/null -w %{http_code} --noproxy '*' --cacert";
    let mut curl = Command::new("sh");
    let code = run(curl.arg("-c").arg(format!(
        "{curl_status} {} https://{}/v2/",
        LAB.registry_ca.display(),
        LAB.ecr_ip
    )))?;
    assert_eq!(code, "401", "the registry asks nobody who they are");
    let build = format!(
        "buildx build --progress plain --push -t {}/bare:latest .",
        LAB.ecr
    );
    builds_and_pushes(&bare, "bare", &build)
}

#[test]
fn with_docker_docker_build_is_remote() -> Result<()> {
    let _namespace = Namespace::new("bare-docker")?;
    let bare = BareMachine::new("bare-docker")?;
    bare.install_docker_cli()?;
    let build = format!(
        "docker build --progress plain --push -t {}/bare-docker:latest .",
        LAB.ecr
    );
    builds_and_pushes(&bare, "bare-docker", &build)?;
    ensure!(
        !bare.machine.host_path("/usr/local/bin/buildx").exists(),
        "docker calls its plugin"
    );
    Ok(())
}

#[test]
fn a_wrong_checksum_installs_nothing() -> Result<()> {
    let bare = BareMachine::new("nowhere")?;
    let before = bare.machine.tree()?;
    let log = bare.setup_fails(&[&format!("--buildx-sha256={}", "0".repeat(64))])?;
    ensure!(
        log.contains("Download failed") && log.contains("with the SHA-256"),
        "{log}"
    );
    bare.ensure_unchanged(&before)
}

/// For example a program for another architecture, whose checksum is correct.
#[test]
fn a_file_that_is_not_a_program_installs_nothing() -> Result<()> {
    let bare = BareMachine::new("nowhere")?;
    bare.install_docker_cli()?;
    let plugin = "/usr/local/lib/docker/cli-plugins/docker-buildx";
    bare.machine.write(plugin, "#!/bin/sh\nexit 1\n", 0o755)?;
    let before = bare.machine.tree()?;
    let [url, sum] = BareMachine::no_program();
    let log = bare.setup_fails(&[&url, &sum])?;
    ensure!(
        log.contains("Cannot install buildx")
            && log.contains("set `--buildx-url` and `--buildx-sha256` to another file"),
        "{log}"
    );
    bare.ensure_unchanged(&before)
}
