//! The builder as Docker's own tools see it.

use anyhow::{Result, ensure};

use crate::support::{LAB, Namespace, Runner, run};

const INSPECT: &str = r"
const {createRequire} = require('node:module');
const {pathToFileURL} = require('node:url');
const root = process.env.NODE_MODULES + '/@docker/actions-toolkit';
(async () => {
  const {Builder} = await import(pathToFileURL(root + '/lib/buildx/builder.js').href);
  console.log('RESULT' + JSON.stringify(await new Builder().inspect(process.env.BUILDX_BUILDER)));
})();
";

#[test]
fn actions_toolkit_and_buildx_report_a_running_builder() -> Result<()> {
    let _namespace = Namespace::new("toolkit")?;
    let mut runner = Runner::new()?;
    let connected = runner.connect(&[("namespace", "toolkit")])?.ok()?;

    let mut node = runner.command(LAB.node24_bin.join("node"));
    node.env("NODE_MODULES", &LAB.node_modules).args(["-e", INSPECT]);
    let printed = run(&mut node)?;
    let json = printed
        .lines()
        .find_map(|l| l.strip_prefix("RESULT"))
        .unwrap_or_default();
    let seen: serde_json::Value = serde_json::from_str(json)?;
    assert_eq!(seen["name"], connected.outputs["name"]);
    assert_eq!(seen["driver"], "kubernetes");
    let node = &seen["nodes"][0];
    assert_eq!(node["status"], "running");
    assert_eq!(node["name"], "remote-buildkit-agent");
    // The toolkit sees the same values as connect's outputs.
    let ours: serde_json::Value = serde_json::from_str(&connected.outputs["nodes"])?;
    for key in ["name", "endpoint", "status", "buildkit", "platforms"] {
        assert_eq!(ours[0][key], node[key], "{key}");
    }
    assert_eq!(node["platforms"], connected.outputs["platforms"]);

    let context = tempfile::tempdir()?;
    let path = context.path().to_string_lossy().into_owned();
    let dockerfile = format!("FROM {}/busybox\nRUN uname -m\n", LAB.registry);
    std::fs::write(context.path().join("Dockerfile"), dockerfile)?;
    std::fs::write(
        context.path().join("docker-bake.hcl"),
        "target \"default\" { dockerfile = \"Dockerfile\" }\n",
    )?;
    runner.buildx(&["build", &path])?;
    let mut bake = runner.command(LAB.bin.join("docker-buildx"));
    run(bake.arg("bake").current_dir(context.path()))?;
    let listed = runner.buildx(&["ls"])?;
    ensure!(
        listed.contains(&format!("{}*", connected.outputs["name"])),
        "{listed}"
    );
    Ok(())
}
