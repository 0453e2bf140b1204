//! A kubelet removes every pod's cgroup that it does not know, so each of two on one machine needs a root of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const MOUNT: &str = "/sys/fs/cgroup";
const OURS: &str = "rbk";

/// The root of a node, as kubelet's cgroupRoot.
pub(crate) fn of_node(node: usize) -> String {
    format!("/{OURS}/node{node}")
}

pub(crate) fn make(node: usize) -> Result<()> {
    let unified = Path::new(MOUNT).join("cgroup.controllers");
    if unified.exists() {
        return make_unified(node);
    }
    for hierarchy in hierarchies()? {
        let root = hierarchy.join(OURS);
        for folder in [&root, &root.join(format!("node{node}"))] {
            fs::create_dir_all(folder)?;
            // A new cpuset has neither processors nor memory, and takes no process.
            if hierarchy.ends_with("cpuset") {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    fs::write(folder.join(file), fs::read(hierarchy.join(file))?)?;
                }
            }
        }
    }
    Ok(())
}

fn make_unified(node: usize) -> Result<()> {
    let mount = Path::new(MOUNT);
    let root = mount.join(OURS);
    let folder = root.join(format!("node{node}"));
    fs::create_dir_all(&folder)?;
    for parent in [mount, &root] {
        let controllers = fs::read_to_string(parent.join("cgroup.controllers"))?;
        let all: Vec<String> = controllers.split_whitespace().map(|c| format!("+{c}")).collect();
        fs::write(parent.join("cgroup.subtree_control"), all.join(" "))
            .with_context(|| format!("could not pass controllers on from {}", parent.display()))?;
    }
    Ok(())
}

/// The hierarchies of cgroup v1, each once: some are links to others.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(MOUNT)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && entry.path().join("cgroup.procs").exists()
            && entry.file_name() != "unified"
        {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Removes every cgroup of the lab's, the innermost first.
pub(crate) fn remove_all() {
    let roots = fs::read_dir(MOUNT)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join(OURS));
    for root in roots.chain([Path::new(MOUNT).join(OURS)]) {
        remove(&root);
    }
}

fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove(&entry.path());
        }
    }
    // Busy for a moment after its last process was killed; `down` looks again.
    let _ = fs::remove_dir(folder);
}

pub(crate) fn any_left() -> bool {
    let roots = fs::read_dir(MOUNT)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join(OURS));
    roots
        .chain([Path::new(MOUNT).join(OURS)])
        .any(|root| root.exists())
}
