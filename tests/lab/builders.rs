//! Files of other builders in buildx's directory.

use anyhow::{Result, ensure};

use crate::support::{Namespace, Runner};

#[test]
fn malformed_builder_file_is_reported_and_builds_work() -> Result<()> {
    let _namespace = Namespace::new("malformed")?;
    let mut runner = Runner::new()?;
    let instances = runner.home.join(".docker/buildx/instances");
    std::fs::create_dir_all(&instances)?;
    let malformed = instances.join("somebodys");
    std::fs::write(&malformed, "{\"Name\":")?;
    let connected = runner.connect(&[("namespace", "malformed")])?.ok()?;
    let warning = format!("::warning title=Invalid builder file::{}", malformed.display());
    ensure!(connected.log.contains(&warning), "{}", connected.log);
    let built = runner.build("RUN echo built all the same")?;
    ensure!(built.contains("built all the same"), "{built}");
    // As the warning says, `buildx ls` fails.
    let listed = runner.buildx(&["ls"]).expect_err("buildx ls fails on it");
    ensure!(
        listed.to_string().contains("unexpected end of JSON"),
        "{listed:#}"
    );
    runner.disconnect()?.ok()?;
    let left: Vec<_> = std::fs::read_dir(&instances)?.collect::<std::io::Result<_>>()?;
    ensure!(left.len() == 1 && malformed.exists(), "{left:?}");
    Ok(())
}

/// The action's builder has a unique name, so a user's builder with the agent's name is a different one.
#[test]
fn builder_with_the_agents_name_is_not_changed() -> Result<()> {
    let _namespace = Namespace::new("namesake")?;
    let mut runner = Runner::new()?;
    let name = "remote-buildkit-agent";
    let own = ["--driver", "remote", "--use", "tcp://127.0.0.1:1"];
    runner.buildx(&[&["create", "--name", name], &own[..]].concat())?;
    let file = runner.home.join(".docker/buildx/instances").join(name);
    let before = (std::fs::read(&file)?, runner.tree()?);
    let connected = runner.connect(&[("namespace", "namesake")])?.ok()?;
    ensure!(connected.outputs["name"] != name, "{:?}", connected.outputs);
    runner.build("RUN echo built")?;
    ensure!(std::fs::read(&file)? == before.0, "changed by connect or a build");
    runner.disconnect()?.ok()?;
    ensure!(std::fs::read(&file)? == before.0, "changed by disconnect");
    let current = runner.home.join(".docker/buildx/current");
    ensure!(
        Some(&std::fs::read(&current)?) == before.1.get(&current),
        "it is not selected again"
    );
    Ok(())
}
