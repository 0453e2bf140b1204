//! A kubelet removes every pod's cgroup that it does not know, so each of two on one machine needs a root of its own:
//! on cgroup v1 a folder a controller, on v2 one for all.

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
    let node = format!("node{node}");
    if is_unified(Path::new(MOUNT)) {
        return make_unified(Path::new(MOUNT), &node).context("could not make the node's cgroup");
    }
    for hierarchy in hierarchies()? {
        make_in(&hierarchy, &node)
            .with_context(|| format!("could not make the node's cgroup in {}", hierarchy.display()))?;
    }
    Ok(())
}

fn is_unified(mount: &Path) -> bool {
    mount.join("cgroup.controllers").exists()
}

/// On v1 a new cpuset has neither processors nor memory, and takes no process.
fn make_in(hierarchy: &Path, node: &str) -> Result<()> {
    let root = hierarchy.join(OURS);
    for (parent, folder) in [(hierarchy, root.clone()), (&root, root.join(node))] {
        fs::create_dir_all(&folder)?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if parent.join(file).exists() {
                fs::write(folder.join(file), fs::read(parent.join(file))?)?;
            }
        }
    }
    Ok(())
}

/// On v2 a group has the controllers that every group above it passes on.
fn make_unified(mount: &Path, node: &str) -> Result<()> {
    let root = mount.join(OURS);
    fs::create_dir_all(root.join(node))?;
    for parent in [mount, &root] {
        let controllers = fs::read_to_string(parent.join("cgroup.controllers"))?;
        for controller in controllers.split_whitespace() {
            // One by one: the kernel refuses a whole line for one controller that cannot be passed on, and
            // kubelet says which it misses.
            let _refused = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
    Ok(())
}

/// The hierarchies of cgroup v1, each once: some are links to others. A v2 tree beside them has no controllers left.
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

/// The lab's group in every hierarchy, v1 or v2, that has one: runc makes it in the v2 tree too.
fn roots() -> Vec<PathBuf> {
    let hierarchies = fs::read_dir(MOUNT).into_iter().flatten().flatten();
    hierarchies
        .map(|entry| entry.path().join(OURS))
        .chain([Path::new(MOUNT).join(OURS)])
        .filter(|root| root.is_dir())
        .collect()
}

/// Every process in the lab's groups: what runs in containers.
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

/// Removes every cgroup of the lab's that holds no process; says whether none is left.
pub(crate) fn remove_all() -> bool {
    for group in roots().into_iter().flat_map(|root| tree(&root)) {
        // Busy for a moment after its last process was killed; `down` comes again.
        let _busy = fs::remove_dir(group);
    }
    roots().is_empty()
}

/// A folder and those in it, the innermost first.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(tree(&entry.path()));
        }
    }
    found.push(folder.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Result<PathBuf> {
        let dir = std::env::temp_dir().join(format!("rbk-cgroup-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    #[test]
    fn the_innermost_comes_first() -> Result<()> {
        let root = folder("tree")?;
        fs::create_dir_all(root.join("a/b"))?;
        assert_eq!(tree(&root), [root.join("a/b"), root.join("a"), root.clone()]);
        fs::remove_dir_all(root)?;
        Ok(())
    }

    #[test]
    fn a_v1_cpuset_is_given_the_processors_of_its_parent() -> Result<()> {
        let hierarchy = folder("v1")?;
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
