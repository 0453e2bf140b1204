//! What a lab could leave on a machine, listed: the same before it comes up and after it went down.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{State, binfmt, command, volumes};

/// A machine at a moment: links, network namespaces, packet filter rules, mounts, disks made of files, emulators,
/// cgroups, and processes of a lab.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    pub fn now() -> Result<Self> {
        let mut found = BTreeSet::new();
        for line in [
            "ip -brief link",
            "ip netns list",
            "iptables -S",
            "iptables -t nat -S",
        ] {
            let mut words = line.split(' ');
            let mut command = Command::new(words.next().unwrap_or_default());
            // The first column is the name; a rule counts whole.
            let whole = line.starts_with("iptables");
            found.extend(command::output(command.args(words))?.lines().map(|text| {
                let name = text.split([' ', '@']).next().unwrap_or_default();
                format!("{line}: {}", if whole { text } else { name })
            }));
        }
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let points = mounts.lines().filter_map(|l| l.split(' ').nth(1));
        found.extend(points.map(|point| format!("mount: {point}")));
        found.extend(binfmt::registered().iter().map(|name| format!("binfmt: {name}")));
        let disks = volumes::attached(Path::new("/"));
        found.extend(disks.iter().map(|file| format!("disk: {}", file.display())));
        for hierarchy in ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"] {
            for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    found.insert(format!("cgroup: {}", entry.path().display()));
                }
            }
        }
        let dir = State::folder();
        if dir.exists() {
            found.insert(format!("folder: {}", dir.display()));
        }
        found.extend(processes(&dir.to_string_lossy())?);
        Ok(Self(found))
    }

    /// Fails with whatever is there now and was not before.
    pub fn same_as(&self, before: &Self) -> Result<()> {
        let left: Vec<&String> = self.0.difference(&before.0).collect();
        ensure!(left.is_empty(), "the lab left behind: {left:#?}");
        Ok(())
    }
}

/// Processes with the lab's folder in their command line.
fn processes(dir: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("{dir}/")) {
            found.push(format!("process: {line}"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_named() {
        let traces = |names: &[&str]| Traces(names.iter().map(ToString::to_string).collect());
        let before = traces(&["mount: /", "mount: /gone-since"]);
        assert!(traces(&["mount: /"]).same_as(&before).is_ok());
        let error = traces(&["mount: /", "process: kubelet"]).same_as(&before);
        assert!(error.expect_err("new").to_string().contains("process: kubelet"));
    }
}
