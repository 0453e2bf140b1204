//! Starts a node: a containerd and a kubelet in a network namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::architecture::Architecture;
use crate::control_plane::Pki;
use crate::images::{self, Images};
use crate::process::Daemons;
use crate::state::Node;
use crate::{cgroup, command, kubelet, network, sandbox};

/// The names of a RuntimeClass and of a seccomp profile.
const NO_USER_NAMESPACES: &str = "no-user-namespaces";

/// A seccomp profile that answers as the kernel does where user.max_user_namespaces is 0 (ENOSPC), as on Bottlerocket. The
/// sysctl itself would affect the whole machine. clone3 fails with ENOSYS, because seccomp cannot read its flags; programs then
/// use clone.
const NONE_LEFT: &str = r#"{
  "defaultAction": "SCMP_ACT_ALLOW",
  "syscalls": [
    {"names": ["clone", "unshare"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
     "args": [{"index": 0, "value": 268435456, "valueTwo": 268435456, "op": "SCMP_CMP_MASKED_EQ"}]},
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
  ]
}
"#;

/// The inputs of a node.
#[derive(Debug)]
pub(crate) struct NodeSetup<'a> {
    pub(crate) daemons: &'a Daemons,
    pub(crate) bin: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) pki: &'a Pki,
    pub(crate) images: &'a Images,
    pub(crate) cni_plugins: &'a Path,
}

impl NodeSetup<'_> {
    pub(crate) fn start(&self, number: usize, nodes: usize) -> Result<Node> {
        let name = format!("node{number}");
        let dir = self.dir.join(&name);
        fs::create_dir_all(dir.join("cni"))?;
        network::add_node(number, nodes)?;
        cgroup::make(number)?;
        let node = Node {
            name,
            netns: network::namespace(number),
            ip: network::node_ip(number),
            architecture: Architecture::of_node(number),
            containerd_socket: dir.join("containerd.sock"),
        };
        let containerd = self.start_containerd(&node, number, &dir)?;
        for image in self.images.of(node.architecture)? {
            self.import(&node, image)?;
        }
        self.start_kubelet(&node, number, &dir, containerd)?;
        Ok(node)
    }

    /// Imports images of all platforms: containerd assumes the architecture of the machine.
    pub(crate) fn import(&self, node: &Node, archive: &Path) -> Result<()> {
        let mut import = self.ctr(node);
        command::output(import.args(["images", "import", "--all-platforms"]).arg(archive))?;
        Ok(())
    }

    pub(crate) fn ctr(&self, node: &Node) -> Command {
        let mut ctr = Command::new(self.bin.join("ctr"));
        ctr.arg("-a").arg(&node.containerd_socket).args(["-n", "k8s.io"]);
        ctr
    }

    /// Returns a PATH with the lab's programs first, where containerd finds its shim.
    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}:/usr/sbin:/sbin", self.bin.display())
    }

    fn start_containerd(&self, node: &Node, number: usize, dir: &Path) -> Result<u32> {
        let network = json!({
            "cniVersion": "0.4.0", "name": "pods",
            "plugins": [{
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": network::pods_of(number)}]],
                         "routes": [{"dst": "0.0.0.0/0"}], "dataDir": dir.join("ipam")},
            }],
        });
        fs::write(dir.join("cni/10-bridge.conflist"), network.to_string())?;
        let config = dir.join("containerd.toml");
        let old = self.runtime_without_features(dir)?;
        fs::write(&config, self.containerd_config(node, dir, &old))?;
        let name = format!("containerd-{}", node.name);
        let mut containerd = sandbox::new(number, &dir.join("own"), &self.bin.join("containerd"));
        containerd.env("PATH", self.path()).arg("-c").arg(config);
        let pid = self.daemons.start(&name, &mut containerd)?;
        self.daemons.wait_for(&name, "containerd to answer", || {
            command::output(self.ctr(node).arg("version")).is_ok()
        })?;
        Ok(pid)
    }

    /// Writes a runtime without the command `features`, as runc before 1.1: containerd then assumes that it does not support user
    /// namespaces. Pods select it with a RuntimeClass.
    fn runtime_without_features(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("runc-without-features");
        let runc = self.bin.join("runc");
        let script = format!(
            "#!/bin/sh\n[ \"$1\" != features ] && exec {} \"$@\"\n",
            runc.display()
        );
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Returns containerd's configuration.
    ///
    /// disable_apparmor: containerd would load its profile into the host's kernel, where it stays.
    /// restrict_oom_score_adj: where the lab lacks CAP_SYS_RESOURCE, as in a sandbox, a pod's score cannot be lowered.
    /// nri: its socket and its plugins would be the host's.
    fn containerd_config(&self, node: &Node, dir: &Path, old: &Path) -> String {
        format!(
            r#"version = 4
imports = []
root = "{dir}/containerd"
state = "/run/containerd"
[plugins."io.containerd.server.v1.grpc"]
  address = "{socket}"
[plugins."io.containerd.server.v1.ttrpc"]
  address = "{socket}.ttrpc"
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{cni}"]
    conf_dir = "{dir}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{NO_USER_NAMESPACES}]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.{NO_USER_NAMESPACES}.options]
      BinaryName = "{old}"
"#,
            dir = dir.display(),
            socket = node.containerd_socket.display(),
            pause = images::PAUSE,
            cni = self.cni_plugins.display(),
            runc = self.bin.join("runc").display(),
            old = old.display(),
        )
    }

    fn start_kubelet(&self, node: &Node, number: usize, dir: &Path, containerd: u32) -> Result<()> {
        let pki = |file: &str| self.pki.path(file);
        let config = json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true},
                               "x509": {"clientCAFile": pki("ca.crt")}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": pki(&format!("{}.crt", node.name)),
            "tlsPrivateKeyFile": pki(&format!("{}.key", node.name)),
            "cgroupDriver": "cgroupfs", "cgroupRoot": cgroup::of_node(number),
            // A kubelet removes the logs of every pod that it does not know, so each has its own directory.
            "podLogsDir": dir.join("logs"),
            "failSwapOn": false, "failCgroupV1": false,
            "containerRuntimeEndpoint": format!("unix://{}", node.containerd_socket.display()),
            "resolvConf": resolv_conf(),
            "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%", "memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "registerWithTaints": taints(node.architecture),
        });
        let profiles = dir.join("kubelet/seccomp");
        fs::create_dir_all(&profiles)?;
        fs::write(profiles.join(format!("{NO_USER_NAMESPACES}.json")), NONE_LEFT)?;
        let file = dir.join("kubelet.json");
        fs::write(&file, config.to_string())?;
        let mut kubelet = sandbox::join(containerd, &self.bin.join(kubelet::name(node.architecture)));
        kubelet
            .env("PATH", self.path())
            .arg(format!("--config={}", file.display()))
            .arg(format!(
                "--kubeconfig={}",
                self.pki.kubeconfig(&node.name).display()
            ))
            .arg(format!("--hostname-override={}", node.name))
            .arg(format!("--node-ip={}", node.ip))
            .arg(format!("--root-dir={}", dir.join("kubelet").display()));
        self.daemons
            .start(&format!("kubelet-{}", node.name), &mut kubelet)?;
        Ok(())
    }
}

/// Returns the taint of an arm64 node, as GKE has it: only pods that tolerate it run there.
/// <https://cloud.google.com/kubernetes-engine/docs/how-to/prepare-arm-workloads-for-deployment>
fn taints(architecture: Architecture) -> Value {
    if architecture.is_native() {
        json!([])
    } else {
        json!([{"key": "kubernetes.io/arch", "value": architecture.name(), "effect": "NoSchedule"}])
    }
}

/// Returns the resolv.conf for pods. If systemd-resolved is in use, it is the file with the real servers: /etc/resolv.conf
/// then names the stub resolver on the loopback interface, which pods cannot reach.
fn resolv_conf() -> &'static str {
    const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
    if Path::new(RESOLVED).exists() {
        RESOLVED
    } else {
        "/etc/resolv.conf"
    }
}
