//! Several runners under one user, and a runner that is restored to its previous state.

use std::thread;

use anyhow::{Result, ensure};

use crate::support::{Namespace, Runner};

#[test]
fn jobs_with_a_shared_home_do_not_interfere() -> Result<()> {
    let _namespace = Namespace::new("home")?;
    for second_ends_first in [false, true] {
        let home = tempfile::tempdir()?;
        let mut first = Runner::with_home(home.path())?;
        let mut second = Runner::with_home(home.path())?;
        first.connect(&[("namespace", "home")])?.ok()?;
        second.connect(&[("namespace", "home")])?.ok()?;
        let (mut ends, goes_on) = if second_ends_first {
            (second, first)
        } else {
            (first, second)
        };

        let building = thread::spawn(move || -> Result<(Runner, String)> {
            let log = goes_on.build(&format!("RUN sleep 4; echo survived {second_ends_first}"))?;
            Ok((goes_on, log))
        });
        thread::sleep(std::time::Duration::from_secs(2));
        ends.disconnect()?.ok()?;
        let (mut goes_on, log) = building.join().expect("no panic")?;
        ensure!(log.contains("survived"), "{log}");
        goes_on.build("RUN echo again")?;
        goes_on.disconnect()?.ok()?;
        let left: Vec<_> = std::fs::read_dir(home.path().join(".docker/buildx/instances"))?.collect();
        ensure!(left.is_empty(), "{left:?}");
    }
    Ok(())
}

/// A home directory without any files of buildx is unchanged after the job.
#[test]
fn post_step_restores_a_new_home() -> Result<()> {
    let _namespace = Namespace::new("new-home")?;
    let mut runner = Runner::new()?;
    let before = runner.tree()?;
    runner.connect(&[("namespace", "new-home")])?.ok()?;
    runner.disconnect()?.ok()?;
    assert_eq!(runner.tree()?, before);
    Ok(())
}

#[test]
fn post_step_restores_the_runner() -> Result<()> {
    let namespace = Namespace::new("post")?;
    let mut runner = Runner::new()?;
    // The user's own builder, selected as the current one.
    runner.buildx(&[
        "create",
        "--name",
        "own",
        "--driver",
        "remote",
        "--use",
        "tcp://127.0.0.1:1",
    ])?;
    let before = runner.tree()?;
    let connected = runner.connect(&[("namespace", "post")])?.ok()?;
    ensure!(runner.tree()? != before, "connect wrote nothing");
    for file in ["kubeconfig", "session.json"] {
        use std::os::unix::fs::PermissionsExt;
        let kubeconfig = std::path::Path::new(&connected.outputs["kubeconfig"]);
        ensure!(
            kubeconfig.starts_with(runner.temp()),
            "{kubeconfig:?} is not in RUNNER_TEMP"
        );
        let mode = std::fs::metadata(kubeconfig.with_file_name(file))?
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    runner.disconnect()?.ok()?;
    let after = runner.tree()?;
    for path in before.keys().chain(after.keys()) {
        ensure!(before.get(path) == after.get(path), "{} differs", path.display());
    }
    // A post step that runs twice, or without connect before it, succeeds.
    runner.disconnect()?.ok()?;
    Runner::new()?.disconnect()?.ok()?;
    assert_eq!(namespace.names("deployment")?, ["remote-buildkit-agent"]);
    assert_eq!(namespace.names("pvc")?, ["remote-buildkit-agent"]);
    Ok(())
}
