//! What a running lab tells its users: a file in its folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;

/// Names the folder of a lab, for the processes that use it.
pub const VARIABLE: &str = "REMOTE_BUILDKIT_LAB";

const FILE: &str = "lab.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The lab's own folder, gone with it.
    pub dir: PathBuf,
    /// A folder with every program of the lab.
    pub bin: PathBuf,
    pub admin_kubeconfig: PathBuf,
    pub api_server: String,
    /// `host:port`, over TLS.
    pub registry: String,
    pub registry_ca: PathBuf,
    pub aws_endpoint: String,
    /// A proxy that answers for AWS's own host names, with the CA below.
    pub https_proxy: String,
    pub proxy_ca: PathBuf,
    pub region: String,
    pub account: String,
    pub cluster: String,
    /// ECR's name of the account's registry.
    pub ecr: String,
    /// Where that name, and any other of ECR's, has to lead.
    pub ecr_ip: String,
    /// The registry behind it, with its own password.
    pub ecr_content: String,
    /// Of the agent of EKS Pod Identity, and what it knows a pod by.
    pub pod_identity: String,
    pub pod_identity_token: String,
    /// Who issues tokens for IRSA.
    pub issuer: String,
    /// The files of a machine with nothing on it.
    pub bare: PathBuf,
    pub oidc_url: String,
    pub oidc_request_token: String,
    pub audit_log: PathBuf,
    pub authenticator_log: PathBuf,
    pub node_modules: PathBuf,
    pub node24_bin: PathBuf,
    pub python: PathBuf,
    pub aws_cli: PathBuf,
    pub nodes: Vec<Node>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    /// Of its network namespace.
    pub netns: String,
    pub ip: String,
    /// What its containers run; the label kubernetes.io/arch.
    pub architecture: Architecture,
    pub containerd_socket: PathBuf,
}

impl State {
    /// Where a lab lives: `$REMOTE_BUILDKIT_LAB`, else `remote-buildkit-lab` in the temporary folder.
    pub fn folder() -> PathBuf {
        let set = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        set.map_or_else(|| std::env::temp_dir().join("remote-buildkit-lab"), PathBuf::from)
    }

    /// The state of the lab that runs.
    pub fn load() -> Result<Self> {
        Self::of(&Self::folder())
    }

    /// The state of the lab in a folder.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text =
            fs::read(&path).with_context(|| format!("no lab is up: could not read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("could not read {}", path.display()))
    }

    pub(crate) fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        crate::pki::write_secret(&self.dir.join(FILE), &text)
    }

    /// The environment of a job on this lab: AWS, GitHub's OIDC endpoint, and the lab's programs first on the PATH.
    pub fn client_env(&self) -> Vec<(String, String)> {
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            self.bin.display()
        );
        [
            ("AWS_ENDPOINT_URL", self.aws_endpoint.as_str()),
            ("AWS_REGION", &self.region),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", &self.oidc_url),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &self.oidc_request_token),
            ("PATH", &path),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// Makes the folder of programs: a link to each.
pub(crate) fn link_programs(bin: &Path, programs: &[(String, PathBuf)]) -> Result<()> {
    fs::create_dir_all(bin)?;
    for (name, path) in programs {
        let link = bin.join(name);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(path, &link)
                .with_context(|| format!("could not link {}", link.display()))?;
        }
    }
    Ok(())
}
