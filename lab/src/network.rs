//! The network: a bridge on the host, a network namespace for each node, and a pod subnet on each node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;

/// The host's address on the bridge: for the API server, the registry, and as gateway of every node.
pub(crate) const GATEWAY: &str = "10.200.0.254";
pub(crate) const API_SERVER_PORT: u16 = 6443;
const BRIDGE: &str = "rbk";
const SUBNETS: [&str; 2] = ["10.200.0.0/24", "10.244.0.0/16"];
/// The address of `kubernetes.default.svc`, the first one of the service range.
pub(crate) const SERVICE: &str = "10.96.0.1";
pub(crate) const SERVICES: &str = "10.96.0.0/16";
const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const NAMESPACES: &str = "/run/netns";

pub(crate) fn node_ip(node: usize) -> String {
    format!("10.200.0.{node}")
}

pub(crate) fn pods_of(node: usize) -> String {
    format!("10.244.{node}.0/24")
}

pub(crate) fn namespace(node: usize) -> String {
    format!("rbk{node}")
}

fn run(line: &str) -> Result<String> {
    let mut words = line.split(' ');
    command::output(Command::new(words.next().unwrap_or_default()).args(words))
}

/// Returns the packet filter rules of the host: builds need package registries, and the firewall of a hosted runner forwards
/// nothing by default.
fn rules() -> Vec<(&'static str, String)> {
    let of = |subnet: &str| {
        [
            (
                "nat",
                format!("POSTROUTING -s {subnet} ! -o {BRIDGE} -j MASQUERADE"),
            ),
            ("filter", format!("FORWARD -s {subnet} -j ACCEPT")),
            ("filter", format!("FORWARD -d {subnet} -j ACCEPT")),
        ]
    };
    SUBNETS.into_iter().flat_map(of).collect()
}

fn iptables(table: &str, action: &str, rule: &str) -> Result<String> {
    // -w: wait for the lock that another iptables may hold.
    run(&format!("iptables -w -t {table} {action} {rule}"))
}

/// Creates the bridge, with the lab's directory as its alias, and the rules for traffic to other networks.
pub(crate) fn up(dir: &Path) -> Result<()> {
    run(&format!("ip link add {BRIDGE} type bridge"))?;
    let mut alias = Command::new("ip");
    command::output(alias.args(["link", "set", BRIDGE, "alias"]).arg(dir))?;
    run(&format!("ip addr add {GATEWAY}/24 dev {BRIDGE}"))?;
    run(&format!("ip link set {BRIDGE} up"))?;
    fs::write(dir.join("ip_forward"), fs::read(IP_FORWARD)?)?;
    if !is_mounted(&fs::read_to_string("/proc/self/mounts")?, NAMESPACES) {
        fs::write(dir.join("netns_unmounted"), "")?;
    }
    fs::write(IP_FORWARD, "1").context("could not turn IP forwarding on")?;
    for (table, rule) in rules() {
        iptables(table, "-I", &rule)?;
    }
    Ok(())
}

/// Creates a node's namespace, its link to the bridge, and routes to the pods of the other nodes.
pub(crate) fn add_node(node: usize, nodes: usize) -> Result<()> {
    let (name, ip) = (namespace(node), node_ip(node));
    run(&format!("ip netns add {name}"))?;
    run(&format!(
        "ip link add {name} type veth peer name eth0 netns {name}"
    ))?;
    run(&format!("ip link set {name} master {BRIDGE} up"))?;
    let inside = |line: &str| run(&format!("ip netns exec {name} {line}"));
    inside("ip link set lo up")?;
    inside(&format!("ip addr add {ip}/24 dev eth0"))?;
    inside("ip link set eth0 up")?;
    inside(&format!("ip route add default via {GATEWAY}"))?;
    inside("sysctl -qw net.ipv4.ip_forward=1")?;
    // Replaces kube-proxy: pods with a service account connect to the API server at this address.
    inside(&format!(
        "iptables -w -t nat -A PREROUTING -d {SERVICE} -p tcp --dport 443 -j DNAT --to-destination {GATEWAY}:{API_SERVER_PORT}"
    ))?;
    for other in (1..=nodes).filter(|other| *other != node) {
        inside(&format!("ip route add {} via {}", pods_of(other), node_ip(other)))?;
    }
    run(&format!(
        "ip route replace {} via {ip} dev {BRIDGE}",
        pods_of(node)
    ))?;
    Ok(())
}

/// Sets the host's end of a node's link `up` or `down`. Routes and addresses stay: they belong to the other end and the bridge.
pub(crate) fn set_link(name: &str, to: &str) -> Result<()> {
    run(&format!("ip link set {name} {to}")).map(drop)
}

/// Removes the network and returns what failed.
pub(crate) fn down(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for name in namespaces() {
        // An interrupted connection keeps its namespace, and so the link, for minutes after the name was deleted.
        if run(&format!("ip link show {name}")).is_ok() {
            lines.push(format!("ip link del {name}"));
        }
        lines.push(format!("ip netns del {name}"));
    }
    if owner().is_some() {
        lines.push(format!("ip link del {BRIDGE}"));
    }
    for (table, rule) in rules() {
        if iptables(table, "-C", &rule).is_ok() {
            lines.push(format!("iptables -w -t {table} -D {rule}"));
        }
    }
    let mut failed: Vec<String> = lines
        .iter()
        .filter_map(|line| run(line).err().map(|e| format!("{e:#}")))
        .collect();
    if let Ok(before) = fs::read(dir.join("ip_forward")) {
        failed.extend(
            fs::write(IP_FORWARD, before)
                .err()
                .map(|e| format!("{IP_FORWARD}: {e}")),
        );
    }
    // The first `ip netns add` on a machine mounts the directory of namespaces onto itself.
    let empty = fs::read_dir(NAMESPACES).is_ok_and(|mut entries| entries.next().is_none());
    if dir.join("netns_unmounted").exists() && empty {
        failed.extend(
            run(&format!("umount {NAMESPACES}"))
                .err()
                .map(|e| format!("{e:#}")),
        );
    }
    failed
}

/// Returns whether a table such as /proc/self/mounts has a mount at this path.
fn is_mounted(table: &str, path: &str) -> bool {
    table.lines().any(|line| line.split(' ').nth(1) == Some(path))
}

/// Returns the network namespaces of the nodes.
fn namespaces() -> Vec<String> {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| is_ours(name)).collect()
}

/// Returns whether a namespace belongs to a node, such as `rbk1`.
fn is_ours(namespace: &str) -> bool {
    namespace
        .strip_prefix(BRIDGE)
        .is_some_and(|number| number.parse::<u8>().is_ok())
}

/// Returns the directory of the lab that runs on this machine. There can be only one, because its addresses are fixed.
pub(crate) fn owner() -> Option<PathBuf> {
    let links = run(&format!("ip -json link show dev {BRIDGE}")).ok()?;
    let links: serde_json::Value = serde_json::from_str(&links).ok()?;
    Some(PathBuf::from(links[0]["ifalias"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_of_nodes_match() {
        assert!(is_ours("rbk1") && is_ours("rbk12"));
        assert!(!is_ours("rbk") && !is_ours("rbk-other") && !is_ours("cni-1") && !is_ours("1"));
    }

    #[test]
    fn a_mount_is_found_by_its_whole_path() {
        let table =
            "tmpfs /run tmpfs rw 0 0\ntmpfs /run/netns tmpfs rw 0 0\nnsfs /run/netns/rbk1 nsfs rw 0 0\n";
        assert!(is_mounted(table, "/run/netns"));
        assert!(!is_mounted(table, "/run/net") && !is_mounted(table, "/run/netns/rbk2"));
    }

    #[test]
    fn a_rule_is_deleted_as_it_was_added() {
        let rules = rules();
        assert_eq!(rules.len(), 6);
        assert!(rules.contains(&(
            "nat",
            "POSTROUTING -s 10.244.0.0/16 ! -o rbk -j MASQUERADE".into()
        )));
    }
}
