//! Tests machines that already have programs, settings or a builder: these stay, are used, or are restored by
//! `--remove`.

use anyhow::{Result, ensure};

use crate::support::{BareMachine, Namespace, program, run};

/// Returns a script that takes the place of buildx: it prints a version, and the metadata of a docker plugin.
fn buildx_of(version: &str) -> String {
    let metadata = r#"{"SchemaVersion": "0.1.0", "Vendor": "Docker Inc.", "Version": "0"}"#;
    format!(
        "#!/bin/sh\ncase $1 in docker-cli-plugin-metadata) echo '{metadata}' ;; \
         *) echo github.com/docker/buildx {version} 0123456 ;; esac\n"
    )
}

#[test]
fn recent_programs_are_kept_and_replaced_ones_restored() -> Result<()> {
    let _namespace = Namespace::new("kept")?;
    let bare = BareMachine::new("kept")?;
    bare.install_docker_cli()?;
    let plugin = "/usr/local/lib/docker/cli-plugins/docker-buildx";
    bare.machine.write(plugin, buildx_of("v0.12.0"), 0o755)?;
    let before = bare.machine.tree()?;
    let log = bare.set_up(&[])?;
    ensure!(
        log.contains(&format!("buildx v0.12.0: too old, {plugin}")),
        "{log}"
    );
    ensure!(bare.run_script("docker buildx version")?.contains("v0.38.2"));
    bare.remove()?;
    bare.ensure_unchanged(&before)?;

    bare.machine
        .write(plugin, "\x7fELF of another architecture", 0o755)?;
    ensure!(bare.set_up(&[])?.contains("buildx: cannot be executed"));
    bare.remove()?;

    bare.machine.write(plugin, buildx_of("v0.37.0"), 0o755)?;
    let log = bare.set_up(&[])?;
    ensure!(
        log.contains(&format!("buildx v0.37.0: already present, {plugin}")),
        "{log}"
    );
    ensure!(bare.run_script("docker buildx version")?.contains("v0.37.0"));
    Ok(())
}

/// docker prefers the user's own plugin to the machine's. A job may have put it there to read the secrets of the next
/// boot.
#[test]
fn old_plugin_of_the_user_is_replaced() -> Result<()> {
    let _namespace = Namespace::new("kept-own")?;
    let bare = BareMachine::new("kept-own")?;
    bare.install_docker_cli()?;
    bare.machine.write(
        "/home/runner/.docker/cli-plugins/docker-buildx",
        buildx_of("v0.30.0").replace("#!/bin/sh", "#!/bin/sh\nenv >> /tmp/seen"),
        0o755,
    )?;
    bare.machine.write(
        "/home/runner/.docker/config.json",
        "{\n\t\"psFormat\": \"x\"\n}",
        0o600,
    )?;
    bare.machine.chown_to_user("/home/runner/.docker")?;
    let before = bare.machine.tree()?;
    run(bare.runner(&[]).env("GITHUB_TOKEN", "secret-token"))?;
    let seen = std::fs::read_to_string(bare.machine.host_path("/tmp/seen"))?;
    ensure!(
        seen.contains("HOME=/home/runner") && !seen.contains("secret-token"),
        "{seen}"
    );
    ensure!(bare.run_script("docker buildx version")?.contains("v0.38.2"));
    bare.remove()?;
    bare.ensure_unchanged(&before)?;
    Ok(())
}

/// Both programs are on the PATH if an image or a package contains them.
#[test]
fn programs_on_the_path_are_kept() -> Result<()> {
    let _namespace = Namespace::new("kept-path")?;
    let bare = BareMachine::new("kept-path")?;
    bare.install_docker_cli()?;
    bare.machine.install(&program(), "/usr/bin/remote-buildkit")?;
    let link = bare
        .machine
        .host_path("/usr/bin/docker-credential-remote-buildkit");
    std::os::unix::fs::symlink("remote-buildkit", link)?;
    let before = bare.machine.tree()?;
    let mut command = bare.machine.command("/usr/bin/remote-buildkit");
    command
        .arg("runner")
        .args(bare.flags())
        .arg("--user=runner")
        .envs(bare.env.iter().cloned());
    let log = run(&mut command)?;
    ensure!(log.contains("already present, /usr/bin/remote-buildkit"), "{log}");
    ensure!(
        !bare.machine.host_path("/usr/local/bin/remote-buildkit").exists(),
        "a second one was installed"
    );
    bare.remove()?;
    bare.ensure_unchanged(&before)
}

/// An image is built without a cluster. A machine that boots from it downloads nothing.
#[test]
fn programs_of_an_image_are_used_at_boot() -> Result<()> {
    let _namespace = Namespace::new("kept-image")?;
    let bare = BareMachine::new("kept-image")?;
    bare.install_docker_cli()?;
    bare.repository("RUN echo image")?;
    let installed = "/usr/local/bin/remote-buildkit";
    bare.machine.install(&program(), installed)?;
    let before = bare.machine.tree()?;
    let (mirror, rest): (Vec<String>, Vec<String>) = bare
        .flags()
        .into_iter()
        .partition(|flag| flag.starts_with("--buildx"));
    let mut build = bare.machine.command(installed);
    build.args(["runner", "--install-only", "--user=runner"]);
    let log = run(build.args(mirror))?;
    ensure!(
        log.contains("buildx v0.38.2: installed as") && log.contains("installed next to it"),
        "{log}"
    );
    let image = bare.machine.tree()?;

    let flags = format!("'{}' --buildx-url=http://127.0.0.1:9", rest.join("' '"));
    let log = bare.run_script(&format!(
        "remote-buildkit runner {flags}; cd work; docker build .; remote-buildkit runner --remove"
    ))?;
    for text in [
        "buildx v0.38.2: already present",
        "already present, /usr/local/bin/remote-buildkit",
        ": selected, for every job of this user",
    ] {
        ensure!(log.contains(text), "{text}: {log}");
    }
    bare.ensure_unchanged(&image)?;

    bare.set_up(&["--buildx-url=http://127.0.0.1:9"])?;
    bare.remove()?;
    bare.ensure_unchanged(&before)
}

#[test]
fn second_run_applies_its_flags_or_changes_nothing() -> Result<()> {
    let _namespace = Namespace::new("kept-again")?;
    let bare = BareMachine::new("kept-again")?;
    bare.install_docker_cli()?;
    bare.repository("RUN echo one")?;
    bare.set_up(&[])?;
    let before = bare.machine.tree()?;
    let log = bare.setup_fails(&["--name=other", "--deploy=never"])?;
    ensure!(log.contains("Agent not found"), "{log}");
    bare.ensure_unchanged(&before)?;

    let taken = "/home/runner/.docker/buildx/instances/taken";
    bare.machine.write(
        taken,
        r#"{"Name": "taken", "Driver": "remote", "Nodes": []}"#,
        0o644,
    )?;
    let before = bare.machine.tree()?;
    let log = bare.setup_fails(&["--name=taken"])?;
    ensure!(log.contains("Builder name already in use"), "{log}");
    let (config, builder) = (".docker/config.json", ".docker/buildx/current");
    ensure!(
        bare.json(config)?["aliases"]["builder"] == "buildx"
            && bare.json(builder)?["Name"] == "remote-buildkit-agent"
    );
    bare.ensure_unchanged(&before)?;

    let log = bare.set_up(&["--name=other"])?;
    ensure!(log.contains("removed builder remote-buildkit-agent"), "{log}");
    let current = bare.json(".docker/buildx/current")?;
    ensure!(current["Name"] == "other", "{current}");
    bare.run_script("cd work && docker build .")?;
    Ok(())
}

#[test]
fn job_with_its_own_builder_restores_the_machines_builder() -> Result<()> {
    let _namespace = Namespace::new("kept-job")?;
    let bare = BareMachine::new("kept-job")?;
    bare.install_docker_cli()?;
    bare.set_up(&[])?;
    let flags = bare.flags();
    let flags: Vec<&str> = flags
        .iter()
        .map(String::as_str)
        .filter(|flag| !flag.starts_with("--buildx"))
        .collect();
    let connect = format!("remote-buildkit connect '{}'", flags.join("' '"));
    let log = bare.run_script(&format!(
        "mkdir -p /tmp/run; export XDG_RUNTIME_DIR=/tmp/run; {connect}; docker buildx inspect | head -1"
    ))?;
    let undo = log
        .lines()
        .find_map(|line| line.strip_prefix("Undo with: "))
        .unwrap_or_default();
    ensure!(undo.contains("--builder remote-buildkit-agent-"), "{log}");
    bare.run_script(&format!("export XDG_RUNTIME_DIR=/tmp/run; {undo}"))?;
    let current = bare.json(".docker/buildx/current")?;
    ensure!(current["Name"] == "remote-buildkit-agent", "{current}");
    Ok(())
}
