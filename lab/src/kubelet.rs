//! Builds a kubelet for a node whose containers have another architecture than the machine. A kubelet reports the architecture
//! that it was compiled for, and resets the label kubernetes.io/arch if it is changed, also by `--node-labels` (`updateNode` in
//! pkg/kubelet/kubelet_node_status.go). So this kubelet is compiled to report the other architecture.

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
/// The files that set a node's label and its `status.nodeInfo.architecture`.
const REPORTING_FILES: [&str; 2] = [
    "pkg/kubelet/kubelet_node_status.go",
    "pkg/kubelet/nodestatus/setters.go",
];
const COMPILED_ARCH: &str = "goruntime.GOARCH";

/// Returns the name of the kubelet for an architecture among the lab's programs.
pub(crate) fn name(architecture: Architecture) -> String {
    if architecture.is_native() {
        "kubelet".to_owned()
    } else {
        format!("kubelet-{}", architecture.name())
    }
}

/// Returns the directory of the program.
pub(crate) fn install(cache: &Cache, architecture: Architecture) -> Result<PathBuf> {
    let key =
        Key::new(format!("kubelet {KUBERNETES} {}", architecture.name())).with(include_str!("kubelet.rs"));
    let dir = cache.entry(&key, |dir| {
        let log = dir.join("build.log");
        fs::write(dir.join("go.mod"), go::go_mod(dir, MODULE, KUBERNETES, &log)?)?;
        go::require(dir, &[PACKAGE], KUBERNETES, &log)?;
        let source = go::copy(dir, MODULE, &format!("v{KUBERNETES}"), &log)?;
        for file in REPORTING_FILES {
            replace_architecture(&source.join(file), architecture)?;
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

/// Replaces the compiled architecture in a source file.
fn replace_architecture(file: &Path, architecture: Architecture) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    ensure!(
        text.contains(COMPILED_ARCH),
        "{} does not contain {COMPILED_ARCH}",
        file.display()
    );
    Ok(fs::write(
        file,
        text.replace(COMPILED_ARCH, &format!("{:?}", architecture.name())),
    )?)
}
