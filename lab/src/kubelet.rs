//! A kubelet for a node whose containers are of another architecture than the machine. A kubelet reports the one that
//! it was compiled for, and puts the label kubernetes.io/arch right again when anybody changes it, `--node-labels`
//! included (`updateNode` in pkg/kubelet/kubelet_node_status.go). So this one is compiled to report the other.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::architecture::Architecture;
use crate::cache::{Cache, Key};
use crate::versions::KUBERNETES;
use crate::{command, go};

const MODULE: &str = "k8s.io/kubernetes";
const PACKAGE: &str = "k8s.io/kubernetes/cmd/kubelet";
/// Where a node's label and its `status.nodeInfo.architecture` are set.
const REPORTS: [&str; 2] = [
    "pkg/kubelet/kubelet_node_status.go",
    "pkg/kubelet/nodestatus/setters.go",
];
const OWN: &str = "goruntime.GOARCH";

/// Its name among the lab's programs.
pub(crate) fn name(architecture: Architecture) -> String {
    if architecture.is_native() {
        "kubelet".to_owned()
    } else {
        format!("kubelet-{}", architecture.name())
    }
}

/// The folder of the program.
pub(crate) fn install(cache: &Cache, architecture: Architecture) -> Result<PathBuf> {
    let key =
        Key::new(format!("kubelet {KUBERNETES} {}", architecture.name())).with(include_str!("kubelet.rs"));
    let dir = cache.entry(&key, |dir| {
        let log = dir.join("build.log");
        fs::write(dir.join("go.mod"), go::go_mod(dir, MODULE, KUBERNETES, &log)?)?;
        go::require(dir, &[PACKAGE], KUBERNETES, &log)?;
        let source = go::copy(dir, MODULE, &format!("v{KUBERNETES}"), &log)?;
        for file in REPORTS {
            report(&source.join(file), architecture)?;
        }
        let mut go_mod = fs::File::options().append(true).open(dir.join("go.mod"))?;
        writeln!(go_mod, "replace {MODULE} => {}", source.display())?;
        let flags = format!("-s -w -X k8s.io/component-base/version.gitVersion=v{KUBERNETES}");
        let mut build = go::go(dir);
        build.args(["build", "-ldflags", &flags, "-o"]);
        build.arg(Path::new("bin").join(name(architecture))).arg(PACKAGE);
        command::run(&mut build, &log)?;
        Ok(fs::remove_dir_all(source)?)
    })?;
    Ok(dir.join("bin"))
}

fn report(file: &Path, architecture: Architecture) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    ensure!(text.contains(OWN), "{} does not name {OWN}", file.display());
    Ok(fs::write(
        file,
        text.replace(OWN, &format!("{:?}", architecture.name())),
    )?)
}
