//! docker's directory, `config.json` with this program's entries, and the protocol of credential helpers. No other
//! module knows their formats.

pub mod config;
mod config_lease;
mod credential_cache;
mod entries;
pub mod protocol;

pub use config::Setting;
pub use config_lease::DockerConfig;
pub use credential_cache::CredentialCache;

use std::path::PathBuf;

use crate::env;

/// Returns docker's directory: `$DOCKER_CONFIG` or `~/.docker`.
pub fn dir() -> Option<PathBuf> {
    let configured = env::path(env::DOCKER_CONFIG);
    configured.or_else(|| Some(env::path(env::HOME)?.join(".docker")))
}

/// The name of the credential helper in a config. docker starts the program `docker-credential-NAME`.
pub const HELPER: &str = "remote-buildkit";

/// The name of the program that docker starts as the helper.
pub const PROGRAM: &str = "docker-credential-remote-buildkit";
