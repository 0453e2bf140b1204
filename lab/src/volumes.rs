//! Local volumes: many directories on each node, and small disks that a test can fill. A claim keeps its volume until the lab
//! stops, so the content outlives pods and containers.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::command;

/// The number of directories on each node, and how many of them belong to a class whose claims cannot be expanded.
const DIRECTORIES: usize = 200;
const FIXED: usize = 10;

const DISKS: usize = 2;
const DISK_GIB: u64 = 2;

/// Creates the directories of a node and returns the manifests of their volumes.
pub(crate) fn directories(dir: &Path, node: &str) -> Result<String> {
    let mut manifests = String::new();
    for number in 1..=DIRECTORIES {
        let path = dir.join("volumes").join(node).join(number.to_string());
        fs::create_dir_all(&path)?;
        let class = if number > DIRECTORIES - FIXED {
            "fixed"
        } else {
            "gp3"
        };
        let name = format!("{node}-{number}");
        writeln!(manifests, "---\n{}", volume(&name, node, class, 60, &path))?;
    }
    Ok(manifests)
}

/// Creates the small disks of a node and returns the manifests of their volumes. Must be called before the node starts: it
/// copies the host's mounts, and sees later ones only if the host shares them.
pub(crate) fn small(dir: &Path, node: usize) -> Result<String> {
    let mut manifests = String::new();
    for number in 1..=DISKS {
        let name = format!("node{node}-small-{number}");
        let path = dir.join("disks").join(&name);
        fs::create_dir_all(&path)?;
        let image = path.with_extension("img");
        File::create(&image)?.set_len(DISK_GIB << 30)?;
        command::output(Command::new("mkfs.ext4").args(["-q", "-m0"]).arg(&image))?;
        // The kernel detaches the device when the file system is unmounted everywhere.
        command::output(Command::new("mount").args(["-o", "loop"]).args([&image, &path]))
            .with_context(|| format!("could not mount {}", image.display()))?;
        let node = format!("node{node}");
        writeln!(
            manifests,
            "---\n{}",
            volume(&name, &node, "small", DISK_GIB, &path)
        )?;
    }
    Ok(manifests)
}

fn volume(name: &str, node: &str, class: &str, gib: u64, path: &Path) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": format!("{gib}Gi")}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "persistentVolumeReclaimPolicy": "Retain", "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}},
        },
    })
}

/// Returns the files below a directory that are still attached to loop devices.
pub(crate) fn attached(dir: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok())
        .map(|file| PathBuf::from(file.trim_end()))
        .filter(|file| file.starts_with(dir))
        .collect()
}
