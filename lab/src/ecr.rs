//! A registry with ECR's host names that accepts ECR's passwords: a real registry with its own password, behind the
//! emulator (stub/ecr.py).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::network::GATEWAY;
use crate::pki::Authority;
use crate::process::Daemons;

const UPSTREAM: &str = "127.0.0.1:5001";
const LOGIN: &str = "lab:of-the-lab-alone";
/// The same in htpasswd's format: the registry accepts only bcrypt. Made with: htpasswd -nbB -C 4 lab of-the-lab-alone
const HTPASSWD: &str = "lab:$2b$04$iCc/8D6QIsKjj7TBzXtlk.XBymGk1DB9RyJbQuqen1N0OuLmQLHfm\n";

/// The address that ECR's host names must resolve to; the port is 443.
pub(crate) const IP: &str = GATEWAY;

/// The regions whose host names are in the certificate.
const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];

/// Returns ECR's host name for the lab's account.
pub(crate) fn host(account: &str, region: &str) -> String {
    format!("{account}.dkr.ecr.{region}.amazonaws.com")
}

/// Returns the URL at which tests read the registry's content from this machine.
pub(crate) fn content() -> String {
    format!("http://{LOGIN}@{UPSTREAM}")
}

/// The inputs that the emulator needs for ECR.
#[derive(Debug)]
pub(crate) struct Ecr {
    certificate: PathBuf,
}

impl Ecr {
    pub(crate) fn start(daemons: &Daemons, bin: &Path, dir: &Path, authority: &Authority) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let names: Vec<String> = REGIONS
            .iter()
            .map(|region| host("*", region))
            .chain(["public.ecr.aws".into(), IP.into()])
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        authority.issue("ecr", None, &names)?.write(dir, "ecr")?;

        let password = dir.join("htpasswd");
        fs::write(&password, HTPASSWD)?;
        // JSON is YAML.
        let config = json!({
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": dir.join("data")}},
            "http": {"addr": UPSTREAM, "relativeurls": true},
            "auth": {"htpasswd": {"realm": "lab", "path": password}},
        });
        let file = dir.join("config.yml");
        fs::write(&file, config.to_string())?;
        let mut registry = Command::new(bin.join("docker-registry"));
        daemons.start("ecr", registry.arg("serve").arg(file))?;
        daemons.wait_for("ecr", "the registry of ECR to listen", || {
            std::net::TcpStream::connect(UPSTREAM).is_ok()
        })?;
        Ok(Self {
            certificate: dir.join("ecr"),
        })
    }

    pub(crate) fn env(&self) -> [(&'static str, String); 4] {
        [
            ("ECR_ADDRESS", format!("{IP}:443")),
            ("ECR_CERTIFICATE", self.certificate.display().to_string()),
            ("ECR_UPSTREAM", UPSTREAM.into()),
            ("ECR_UPSTREAM_LOGIN", LOGIN.into()),
        ]
    }
}
