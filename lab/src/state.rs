//! The addresses and paths of a running lab, in a file in its directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;

/// The environment variable with the directory of the lab.
pub const VARIABLE: &str = "REMOTE_BUILDKIT_LAB";

const FILE: &str = "lab.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The lab's directory, which is removed when the lab stops.
    pub dir: PathBuf,
    /// A directory with every program of the lab.
    pub bin: PathBuf,
    pub admin_kubeconfig: PathBuf,
    pub api_server: String,
    /// `host:port`, with TLS.
    pub registry: String,
    pub registry_ca: PathBuf,
    pub aws_endpoint: String,
    /// A proxy that intercepts AWS's public host names, with a certificate of the CA below.
    pub https_proxy: String,
    pub proxy_ca: PathBuf,
    pub region: String,
    pub account: String,
    pub cluster: String,
    /// ECR's host name of the account's registry.
    pub ecr: String,
    /// The address that all ECR host names must resolve to.
    pub ecr_ip: String,
    /// The URL of the registry behind it, with its own password.
    pub ecr_content: String,
    /// The URL of the EKS Pod Identity Agent, and the token that identifies a pod to it.
    pub pod_identity: String,
    pub pod_identity_token: String,
    /// The issuer of tokens for IRSA.
    pub issuer: String,
    /// The file system of a minimal machine, if it is installed.
    pub bare: Option<PathBuf>,
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
    /// The name of its network namespace.
    pub netns: String,
    pub ip: String,
    /// The architecture of its containers: the label kubernetes.io/arch.
    pub architecture: Architecture,
    pub containerd_socket: PathBuf,
}

impl State {
    /// Returns the directory of the lab: `$REMOTE_BUILDKIT_LAB`, or else `remote-buildkit-lab` in the temporary directory.
    pub fn default_dir() -> PathBuf {
        let set = std::env::var_os(VARIABLE).filter(|value| !value.is_empty());
        set.map_or_else(|| std::env::temp_dir().join("remote-buildkit-lab"), PathBuf::from)
    }

    /// Reads the state of the running lab.
    pub fn load() -> Result<Self> {
        Self::of(&Self::default_dir())
    }

    /// Reads the state of the lab in a directory.
    pub(crate) fn of(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let text = fs::read(&path)
            .with_context(|| format!("no lab is running: could not read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("could not read {}", path.display()))
    }

    pub(crate) fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        crate::pki::write_secret(&self.dir.join(FILE), &text)
    }

    /// Returns the environment of a job on this lab: AWS, GitHub's OIDC endpoint, the lab's programs first on the PATH, and
    /// agents that request nothing.
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
        .into_iter()
        .chain(NO_REQUESTS)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }
}

/// The flags, as variables, with which agents request nothing: a node has the machine's processors, perhaps two, and more
/// agents than that run at once.
pub const NO_REQUESTS: [(&str, &str); 2] = [("REMOTE_BUILDKIT_CPU", "0"), ("REMOTE_BUILDKIT_MEMORY", "0")];

/// Creates the directory of programs, with a link to each.
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
