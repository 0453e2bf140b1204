//! A list of everything that a lab could leave on a machine. It must be the same before the lab starts and after it stops.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::{State, binfmt, command, volumes};

/// The network links and namespaces, packet filter rules, mounts, loop devices, binfmt_misc registrations, cgroups and lab
/// processes of a machine at one moment.
#[derive(Debug, PartialEq, Eq)]
pub struct HostSnapshot(BTreeSet<String>);

impl HostSnapshot {
    pub fn take() -> Result<Self> {
        let mut found = BTreeSet::new();
        for line in [
            "ip -brief link",
            "ip netns list",
            "iptables -S",
            "iptables -t nat -S",
        ] {
            let mut words = line.split(' ');
            let mut command = Command::new(words.next().unwrap_or_default());
            // The first column is the name; a rule is compared as a whole.
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
        let dir = State::default_dir();
        if dir.exists() {
            found.insert(format!("directory: {}", dir.display()));
        }
        found.extend(processes(&dir.to_string_lossy())?);
        Ok(Self(found))
    }

    /// Returns an error that lists everything that did not exist before.
    pub fn ensure_nothing_new(&self, before: &Self) -> Result<()> {
        let left: Vec<&String> = self.0.difference(&before.0).collect();
        ensure!(left.is_empty(), "the lab left behind: {left:#?}");
        Ok(())
    }
}

/// Returns the processes with the lab's directory in their command line.
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
    fn new_entries_are_listed() {
        let snapshot = |names: &[&str]| HostSnapshot(names.iter().map(ToString::to_string).collect());
        let before = snapshot(&["mount: /", "mount: /gone-since"]);
        assert!(snapshot(&["mount: /"]).ensure_nothing_new(&before).is_ok());
        let error = snapshot(&["mount: /", "process: kubelet"]).ensure_nothing_new(&before);
        assert!(error.expect_err("new").to_string().contains("process: kubelet"));
    }
}
