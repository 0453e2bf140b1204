//! Access to the cluster as its administrator.

use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{LAB, run};

pub(crate) fn kubectl(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(LAB.bin.join("kubectl"));
    command.arg("--kubeconfig").arg(&LAB.admin_kubeconfig);
    run(command.args(arguments))
}

pub(crate) fn kubectl_json(arguments: &[&str]) -> Result<Value> {
    let text = kubectl(&[arguments, &["-o", "json"]].concat())?;
    serde_json::from_str(&text).context("reading kubectl's JSON")
}

fn apply(text: &str, flags: &[&str]) -> Result<()> {
    use std::io::Write;
    use std::process::Stdio;
    let mut command = Command::new(LAB.bin.join("kubectl"));
    command.arg("--kubeconfig").arg(&LAB.admin_kubeconfig);
    let mut child = command
        .args(["apply", "-f", "-"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    child.stdin.take().context("stdin")?.write_all(text.as_bytes())?;
    anyhow::ensure!(child.wait()?.success(), "kubectl apply failed for {text}");
    Ok(())
}

/// A namespace for one test. Dropping it deletes it with everything in it.
#[derive(Debug)]
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new(name: &str) -> Result<Self> {
        kubectl(&["create", "namespace", name])?;
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn apply(&self, text: &str) -> Result<()> {
        apply(&text.replace("NAMESPACE", &self.0), &[])
    }

    /// Applies objects on the server, as this field manager.
    pub(crate) fn apply_as(&self, manager: &str, text: &str) -> Result<()> {
        apply(text, &["--server-side", &format!("--field-manager={manager}")])
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&[&["-n", &self.0], arguments].concat())
    }

    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        kubectl_json(&[&["-n", &self.0], arguments].concat())
    }

    /// Sends a signal to the first process of each of a pod's containers on its node, without Kubernetes.
    pub(crate) fn signal(&self, pod: &str, signal: &str) -> Result<()> {
        let pod = self.json(&["get", "pod", pod])?;
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        let node = LAB.nodes.iter().find(|n| n.name == node);
        let node = node.context("the lab has no such node")?;
        let statuses = pod["status"]["containerStatuses"].as_array();
        for status in statuses.context("no containers")? {
            let id = status["containerID"].as_str().unwrap_or_default();
            let id = id.trim_start_matches("containerd://");
            let mut ctr = Command::new(LAB.bin.join("ctr"));
            ctr.arg("-a").arg(&node.containerd_socket);
            run(ctr.args(["-n", "k8s.io", "tasks", "kill", "-s", signal, id]))?;
        }
        Ok(())
    }

    /// Returns the names of the objects of a kind.
    pub(crate) fn names(&self, kind: &str) -> Result<Vec<String>> {
        let list = self.json(&["get", kind])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
        Ok(items.iter().filter_map(name).collect())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Without force, agents drain for an hour.
        let force = ["--grace-period=0", "--force"];
        let pods = [&["delete", "pod", "--all"], &force[..]].concat();
        let _ = self.kubectl(&["delete", "deployment", "--all"]);
        let _ = self.kubectl(&pods);
        let _ = kubectl(&["delete", "namespace", &self.0, "--wait=false"]);
    }
}
