//! A node's view of the host: its own network, and its own version of the directories that containerd, its shims, the CNI
//! library and the kubelet use regardless of their configuration. So nodes do not share them and leave nothing behind: the
//! mounts disappear with the last process of the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::network;

/// Sockets and state of shims; CNI results; the kubelet's device plugins, links to logs and volume plugins.
const FIXED: [&str; 5] = [
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/usr/libexec/kubernetes",
];

/// Mounts in the sandbox do not propagate to the host; mounts of the host do propagate to the sandbox. Shared again, because a
/// kubelet propagates them to pods.
const ENTER: &str = r#"set -e
mount --make-rslave /
mount --make-rshared /
own=$1; shift
for path in $1; do mkdir -p "$own$path"; mount --bind "$own$path" "$path"; done
shift
exec "$@""#;

/// Returns a command in a node's network with its own mounts.
pub(crate) fn new(node: usize, own: &Path, program: &Path) -> Command {
    let mut command = in_network(node);
    command
        .args([
            "unshare",
            "--mount",
            "--propagation",
            "unchanged",
            "sh",
            "-c",
            ENTER,
            "sh",
        ])
        .arg(own)
        .arg(FIXED.join(" "))
        .arg(program);
    command
}

/// Returns a command in the network and mount namespaces of a process that was started by [`new`].
pub(crate) fn join(pid: u32, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--net", "--mount", "--target", &pid.to_string()])
        .arg(program);
    command
}

fn in_network(node: usize) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", network::namespace(node)));
    command
}

/// Creates the missing mount points and records them for [`remove_mount_points`].
pub(crate) fn make_mount_points(dir: &Path) -> Result<()> {
    let mut made = Vec::new();
    for path in FIXED {
        made.extend(missing(Path::new(path)).map(|path| path.display().to_string()));
        fs::create_dir_all(path).with_context(|| format!("could not create {path}"))?;
    }
    fs::write(note(dir), made.join("\n"))?;
    Ok(())
}

pub(crate) fn remove_mount_points(dir: &Path) {
    let made = fs::read_to_string(note(dir)).unwrap_or_default();
    for path in made.lines() {
        // Another program may use the directory by now: then it stays.
        let _not_empty = fs::remove_dir(path);
    }
}

fn note(dir: &Path) -> PathBuf {
    dir.join("mount-points")
}

/// Returns the path and its parents as far as they do not exist, the innermost first.
fn missing(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().take_while(|path| !path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_created_mount_points_are_removed() -> Result<()> {
        let dir = std::env::temp_dir().join(format!("rbk-sandbox-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let path = dir.join("a/b");
        let made: Vec<PathBuf> = missing(&path).map(Path::to_owned).collect();
        assert_eq!(made, [path.clone(), dir.join("a")]);
        fs::create_dir_all(&path)?;
        let names: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
        fs::write(note(&dir), names.join("\n"))?;

        fs::write(dir.join("a/theirs"), "")?;
        remove_mount_points(&dir);
        assert!(!path.exists());
        assert!(dir.join("a/theirs").exists(), "a directory in use was removed");
        fs::remove_dir_all(dir)?;
        Ok(())
    }
}
