//! Jobs on a runner with an old buildx: they build with another one, and leave the runner as it was.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, buildx_download, run};

/// A user's own buildx, which cannot build.
const OLD: &str = "#!/bin/sh\n\
    case $* in\n\
    docker-cli-plugin-metadata) echo '{\"SchemaVersion\": \"0.1.0\", \"Vendor\": \"Docker Inc.\", \"Version\": \"0\"}' ;;\n\
    *version) echo github.com/docker/buildx v0.30.0 0123456 ;;\n\
    *) exit 1 ;;\n\
    esac\n";

/// Returns the files of the user and of the job, without those of buildx, which any build writes.
fn tree(runner: &Runner) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut tree = runner.tree()?;
    let (buildx, seed) = (
        runner.home.join(".docker/buildx"),
        runner.home.join(".docker/.token_seed"),
    );
    tree.retain(|path, _| !path.starts_with(&buildx) && *path != seed);
    Ok(tree)
}

/// Runs a script of a step.
fn script(runner: &Runner, script: &str) -> Result<String> {
    run(runner.command("sh").args(["-ec", script]))
}

#[test]
fn old_buildx_is_replaced_until_the_post_step() -> Result<()> {
    let _namespace = Namespace::new("old-buildx")?;
    let (url, sha256) = buildx_download();
    let inputs = [
        ("namespace", "old-buildx"),
        ("buildx-url", url),
        ("buildx-sha256", sha256),
    ];
    let mut first = Runner::new()?;
    let plugin = first.home.join(".docker/cli-plugins/docker-buildx");
    std::fs::remove_file(&plugin)?;
    std::fs::write(&plugin, OLD)?;
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755))?;
    let config = "{\n\t\"psFormat\": \"x\",\n\t\"cliPluginsExtraDirs\": [ \"/opt/plugins\" ]\n}";
    std::fs::write(first.home.join(".docker/config.json"), config)?;
    let before = tree(&first)?;
    ensure!(script(&first, "docker buildx version")?.contains("v0.30.0"));

    let connected = first.connect(&inputs)?.ok()?;
    ensure!(
        connected.log.contains("Installed buildx v0.38.2 for this job"),
        "{}",
        connected.log
    );
    // Another job of the same user at the same time.
    let mut second = Runner::with_home(&first.home)?;
    second.connect(&inputs)?.ok()?;
    let build = format!(
        "mkdir context; printf 'FROM {}/busybox\\nRUN echo built\\n' > context/Dockerfile; \
         docker buildx build --progress plain context 2>&1; docker buildx version; buildx version",
        LAB.registry
    );
    for runner in [&first, &second] {
        let log = script(runner, &build)?;
        ensure!(
            log.contains("echo built") && log.matches("v0.38.2").count() >= 2,
            "{log}"
        );
        ensure!(script(runner, "command -v buildx")?.starts_with(&*runner.temp().to_string_lossy()));
    }

    first.disconnect()?.ok()?;
    first.forget_exports();
    ensure!(script(&second, "docker buildx version")?.contains("v0.38.2"));
    second.disconnect()?.ok()?;
    ensure!(script(&first, "docker buildx version")?.contains("v0.30.0"));
    let after = tree(&first)?;
    for path in before.keys().chain(after.keys()) {
        ensure!(before.get(path) == after.get(path), "{} differs", path.display());
    }
    ensure!(
        second.temp().read_dir()?.next().is_none(),
        "the second job left files"
    );
    Ok(())
}
