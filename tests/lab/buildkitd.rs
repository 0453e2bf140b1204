//! What we know of buildkitd.toml is what BuildKit's own structs say, of the version that agents run by default.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use remote_buildkit::agent::DEFAULT_IMAGE;

use crate::support::run;

const SCHEMA: &str = include_str!("../../src/agent/buildkitd/schema.txt");

#[test]
fn the_schema_is_that_of_the_default_image() -> Result<()> {
    let (_, version) = DEFAULT_IMAGE.split_once(':').context("no version")?;
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("main.go"), include_str!("buildkitd/keys.go"))?;
    fs::write(dir.path().join("go.mod"), "module keys\n\ngo 1.26.0\n")?;
    let go = |arguments: &[&str]| {
        let mut go = Command::new("go");
        go.args(arguments).current_dir(&dir);
        run(go.env("GOFLAGS", "-mod=mod").env("GOWORK", "off"))
    };
    go(&[
        "get",
        &format!("github.com/moby/buildkit/cmd/buildkitd/config@{version}"),
    ])?;
    let printed = go(&["run", "."])?;
    let mut keys: Vec<&str> = printed.lines().collect();
    keys.sort_unstable();
    let known: Vec<&str> = SCHEMA.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(known, keys);
    Ok(())
}
