//! A node's own view of the host: its network, and its own of the folders that containerd, its shims, the CNI library
//! and kubelet use wherever they are told to live. So two nodes never meet there, and nothing of them stays behind:
//! the mounts go with the last process of the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::network;

/// Sockets and state of shims; results of CNI; kubelet's device plugins, links to logs and volume plugins.
const FIXED: [&str; 5] = [
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/usr/libexec/kubernetes",
];

/// Mounts made in here do not reach the host, those of the host still reach in here. Shared again, because a kubelet
/// passes them on to pods.
const ENTER: &str = r#"set -e
mount --make-rslave /
mount --make-rshared /
own=$1; shift
for path in $1; do mkdir -p "$own$path"; mount --bind "$own$path" "$path"; done
shift
exec "$@""#;

/// A command in a node's network, with mounts of its own.
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

/// A command in the network and among the mounts of a process that was started by [`new`].
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

/// Makes the folders to mount over that are not there, and notes them for [`remove_mount_points`].
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
        // Somebody else may have put something there meanwhile: then it stays.
        let _not_empty = fs::remove_dir(path);
    }
}

fn note(dir: &Path) -> PathBuf {
    dir.join("mount-points")
}

/// The path and those above it that are not there, the innermost first.
fn missing(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().take_while(|path| !path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_is_removed() -> Result<()> {
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
        assert!(
            dir.join("a/theirs").exists(),
            "a folder that others use was removed"
        );
        fs::remove_dir_all(dir)?;
        Ok(())
    }
}
