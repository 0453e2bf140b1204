//! The session file that connect writes beside the kubeconfig: AWS's keys, and what is needed to renew them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// A session file, as JSON.
pub(crate) struct SessionFile {
    path: PathBuf,
    content: Value,
}

impl SessionFile {
    /// Reads the session beside a kubeconfig.
    pub(crate) fn beside(kubeconfig: impl AsRef<Path>) -> Result<Self> {
        let path = kubeconfig.as_ref().with_file_name("session.json");
        let content = serde_json::from_slice(&std::fs::read(&path)?)?;
        Ok(Self { path, content })
    }

    pub(crate) fn access_key_id(&self) -> Result<&str> {
        self.content["keys"]["access_key_id"]
            .as_str()
            .context("no access key")
    }

    /// Returns the parts of the keys that must not appear in a log: secret key and session token.
    pub(crate) fn secrets(&self) -> Result<[&str; 2]> {
        let keys = &self.content["keys"];
        Ok([
            keys["secret_access_key"].as_str().context("no secret key")?,
            keys["session_token"].as_str().context("no session token")?,
        ])
    }

    /// Returns when the keys expire.
    pub(crate) fn expires(&self) -> Result<Timestamp> {
        let expires = self.content["keys"]["expires"].as_str();
        Ok(expires.context("the keys do not expire")?.parse()?)
    }

    /// Rewrites the file so that the keys expire in `left`.
    pub(crate) fn expire_in(&mut self, left: SignedDuration) -> Result<()> {
        self.content["keys"]["expires"] = json!(Timestamp::now() + left);
        self.write(&self.path)
    }

    /// Writes a copy by whose clock it is `ago` earlier. The file has the time of boot by AWS's clock.
    pub(crate) fn write_copy_with_earlier_clock(&self, ago: SignedDuration, path: &Path) -> Result<()> {
        let uptime = std::fs::read_to_string("/proc/uptime")?;
        let seconds: f64 = uptime.split(' ').next().context("no uptime")?.parse()?;
        let booted = Timestamp::now() - SignedDuration::try_from_secs_f64(seconds)?;
        let mut copy = self.content.clone();
        copy["clock"] = json!(booted - ago);
        let copy = Self {
            path: path.to_owned(),
            content: copy,
        };
        copy.write(path)
    }

    fn write(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, self.content.to_string())?)
    }
}
