//! One bridge on the host, one network namespace a node, a subnet of pods on each.

use std::process::Command;

use anyhow::Result;

use crate::command;

/// The host on the bridge: API server, registry, and every node's gateway.
pub(crate) const GATEWAY: &str = "10.200.0.254";
const BRIDGE: &str = "rbk";
const SUBNETS: [&str; 2] = ["10.200.0.0/24", "10.244.0.0/16"];

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

pub(crate) fn up() -> Result<()> {
    run(&format!("ip link add {BRIDGE} type bridge"))?;
    run(&format!("ip addr add {GATEWAY}/24 dev {BRIDGE}"))?;
    run(&format!("ip link set {BRIDGE} up"))?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    for subnet in SUBNETS {
        // Builds reach the package registries.
        run(&format!(
            "iptables -t nat -A POSTROUTING -s {subnet} ! -o {BRIDGE} -j MASQUERADE"
        ))?;
        // A hosted runner's firewall forwards nothing by itself.
        run(&format!("iptables -I FORWARD -s {subnet} -j ACCEPT"))?;
        run(&format!("iptables -I FORWARD -d {subnet} -j ACCEPT"))?;
    }
    Ok(())
}

/// A node's namespace, its link to the bridge, and routes to the pods of the others.
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
    for other in (1..=nodes).filter(|other| *other != node) {
        inside(&format!("ip route add {} via {}", pods_of(other), node_ip(other)))?;
    }
    run(&format!(
        "ip route replace {} via {ip} dev {BRIDGE}",
        pods_of(node)
    ))?;
    Ok(())
}

/// Removes all of it, and what the CNI plugins made: namespaces of pods.
pub(crate) fn down() -> Vec<String> {
    let mut lines = Vec::new();
    for name in run("ip netns list").unwrap_or_default().lines() {
        let name = name.split(' ').next().unwrap_or_default();
        if is_ours(name) {
            lines.push(format!("ip netns del {name}"));
        }
    }
    if run(&format!("ip link show {BRIDGE}")).is_ok() {
        lines.push(format!("ip link del {BRIDGE}"));
    }
    for subnet in SUBNETS {
        for rule in [
            format!("-t nat -D POSTROUTING -s {subnet} ! -o {BRIDGE} -j MASQUERADE"),
            format!("-D FORWARD -s {subnet} -j ACCEPT"),
            format!("-D FORWARD -d {subnet} -j ACCEPT"),
        ] {
            let check = rule.replace("-D ", "-C ");
            if run(&format!("iptables {check}")).is_ok() {
                lines.push(format!("iptables {rule}"));
            }
        }
    }
    lines
        .iter()
        .filter_map(|line| run(line).err().map(|e| format!("{e:#}")))
        .collect()
}

/// `rbk1`, or a pod's `cni-…` with a UUID.
fn is_ours(namespace: &str) -> bool {
    let number = namespace
        .strip_prefix("rbk")
        .is_some_and(|n| n.parse::<u8>().is_ok());
    number || namespace.starts_with("cni-")
}

/// Whether a lab is up on this machine.
pub(crate) fn exists() -> bool {
    run(&format!("ip link show {BRIDGE}")).is_ok()
}
