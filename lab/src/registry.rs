//! Starts a registry with TLS, whose CA the lab's BuildKit image trusts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::json;

use crate::network::GATEWAY;
use crate::pki::Authority;
use crate::process::Daemons;

pub(crate) fn address() -> String {
    format!("{GATEWAY}:5000")
}

pub(crate) fn start(daemons: &Daemons, bin: &Path, dir: &Path, authority: &Authority) -> Result<()> {
    fs::create_dir_all(dir)?;
    authority
        .issue("registry", None, &[GATEWAY])?
        .write(dir, "registry")?;
    // JSON is YAML.
    let config = json!({
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": dir.join("data")}, "delete": {"enabled": true}},
        "http": {"addr": address(), "tls": {"certificate": dir.join("registry.crt"), "key": dir.join("registry.key")}},
    });
    let file = dir.join("config.yml");
    fs::write(&file, config.to_string())?;
    daemons.start(
        "registry",
        Command::new(bin.join("docker-registry")).arg("serve").arg(file),
    )?;
    let address = address();
    daemons.wait_for("registry", "the registry to listen", || {
        std::net::TcpStream::connect(&address).is_ok()
    })
}
