//! The root cgroup of a node. A kubelet removes the cgroup of every pod that it does not know, so each kubelet on one machine
//! needs its own root: on cgroup v1 one directory for each controller, on v2 one directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const MOUNT: &str = "/sys/fs/cgroup";
const OURS: &str = "rbk";

/// Returns the root cgroup of a node, for the kubelet's cgroupRoot.
pub(crate) fn of_node(node: usize) -> String {
    format!("/{OURS}/node{node}")
}

pub(crate) fn make(node: usize) -> Result<()> {
    let node = format!("node{node}");
    if is_unified(Path::new(MOUNT)) {
        return make_unified(Path::new(MOUNT), &node).context("could not create the node's cgroup");
    }
    for hierarchy in hierarchies()? {
        make_in(&hierarchy, &node)
            .with_context(|| format!("could not create the node's cgroup in {}", hierarchy.display()))?;
    }
    Ok(())
}

fn is_unified(mount: &Path) -> bool {
    mount.join("cgroup.controllers").exists()
}

/// Creates the cgroup in a hierarchy of v1, where a new cpuset has no processors and no memory, and accepts no process.
fn make_in(hierarchy: &Path, node: &str) -> Result<()> {
    let root = hierarchy.join(OURS);
    for (parent, dir) in [(hierarchy, root.clone()), (&root, root.join(node))] {
        fs::create_dir_all(&dir)?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if parent.join(file).exists() {
                fs::write(dir.join(file), fs::read(parent.join(file))?)?;
            }
        }
    }
    Ok(())
}

/// Creates the cgroup on v2, where a group has the controllers that every ancestor enables for its children.
fn make_unified(mount: &Path, node: &str) -> Result<()> {
    let root = mount.join(OURS);
    fs::create_dir_all(root.join(node))?;
    for parent in [mount, &root] {
        let controllers = fs::read_to_string(parent.join("cgroup.controllers"))?;
        for controller in controllers.split_whitespace() {
            // One at a time: the kernel rejects the whole line if one controller cannot be enabled. The kubelet reports which
            // one it needs.
            let _refused = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// Returns each hierarchy of cgroup v1 once: some are links to others. A v2 tree beside them has no controllers.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(MOUNT)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() && path.join("cgroup.procs").exists() && !is_unified(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Returns the lab's group in every hierarchy, v1 or v2, that has one: runc creates it in the v2 tree, too.
fn roots() -> Vec<PathBuf> {
    let hierarchies = fs::read_dir(MOUNT).into_iter().flatten().flatten();
    hierarchies
        .map(|entry| entry.path().join(OURS))
        .chain([Path::new(MOUNT).join(OURS)])
        .filter(|root| root.is_dir())
        .collect()
}

/// Returns every process in the lab's groups: those in containers.
pub(crate) fn processes() -> Vec<u32> {
    let groups = roots().into_iter().flat_map(|root| tree(&root));
    let mut pids: Vec<u32> = groups
        .filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok())
        .flat_map(|text| {
            text.lines()
                .filter_map(|line| line.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Removes the lab's cgroups that have no processes, and returns whether all are gone.
pub(crate) fn remove_all() -> bool {
    for group in roots().into_iter().flat_map(|root| tree(&root)) {
        // Busy for a moment after its last process was killed; `down` retries.
        let _busy = fs::remove_dir(group);
    }
    roots().is_empty()
}

/// Returns a directory and its subdirectories, the innermost first.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(tree(&entry.path()));
        }
    }
    found.push(dir.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> Result<PathBuf> {
        let dir = std::env::temp_dir().join(format!("rbk-cgroup-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    #[test]
    fn innermost_directories_come_first() -> Result<()> {
        let root = dir("tree")?;
        fs::create_dir_all(root.join("a/b"))?;
        assert_eq!(tree(&root), [root.join("a/b"), root.join("a"), root.clone()]);
        fs::remove_dir_all(root)?;
        Ok(())
    }

    #[test]
    fn a_v1_cpuset_gets_the_processors_of_its_parent() -> Result<()> {
        let hierarchy = dir("v1")?;
        fs::write(hierarchy.join("cpuset.cpus"), "0-1\n")?;
        fs::write(hierarchy.join("cpuset.mems"), "0\n")?;
        make_in(&hierarchy, "node1")?;
        let node = hierarchy.join(OURS).join("node1");
        assert_eq!(fs::read_to_string(node.join("cpuset.cpus"))?, "0-1\n");
        assert_eq!(fs::read_to_string(node.join("cpuset.mems"))?, "0\n");
        fs::remove_dir_all(hierarchy)?;
        Ok(())
    }
}
