//! Local volumes: folders, of which each node has plenty, and small disks that a test can fill. A claim takes one for
//! as long as the lab lives; what is on it outlives pods and containers.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use crate::command;

/// Folders each node offers, and how many of them are of a class whose claims cannot grow.
const FOLDERS: usize = 200;
const FIXED: usize = 10;

const DISKS: usize = 2;
const DISK_GIB: u64 = 2;

/// The folders of a node, as manifests.
pub(crate) fn folders(dir: &Path, node: &str) -> Result<String> {
    let mut manifests = String::new();
    for number in 1..=FOLDERS {
        let path = dir.join("volumes").join(node).join(number.to_string());
        fs::create_dir_all(&path)?;
        let class = if number > FOLDERS - FIXED { "fixed" } else { "gp3" };
        let name = format!("{node}-{number}");
        writeln!(manifests, "---\n{}", volume(&name, node, class, 60, &path))?;
    }
    Ok(manifests)
}

/// Small file systems of a node, as manifests. To be called before the node is started: it takes the host's mounts
/// along, and gets later ones only where the host shares them.
pub(crate) fn small(dir: &Path, node: usize) -> Result<String> {
    let mut manifests = String::new();
    for number in 1..=DISKS {
        let name = format!("node{node}-small-{number}");
        let path = dir.join("disks").join(&name);
        fs::create_dir_all(&path)?;
        let image = path.with_extension("img");
        File::create(&image)?.set_len(DISK_GIB << 30)?;
        command::output(Command::new("mkfs.ext4").args(["-q", "-m0"]).arg(&image))?;
        // The kernel detaches the device when it is unmounted for good.
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

/// Files below a folder that are loop devices still.
pub(crate) fn attached(dir: &Path) -> Vec<PathBuf> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok())
        .map(|file| PathBuf::from(file.trim_end()))
        .filter(|file| file.starts_with(dir))
        .collect()
}
