//! docker's folder: `config.json` with our entries in it, and the protocol of its credential helpers. The only module
//! that knows their shapes.

mod config;
mod entries;
mod logins;
pub mod protocol;
mod registration;

#[cfg(fuzzing)]
pub use config::there_and_back;
pub use config::{Broken, Setting};
pub use logins::Logins;
pub use registration::Docker;

use std::path::PathBuf;

use crate::env;

/// `$DOCKER_CONFIG` or `~/.docker`.
pub fn folder() -> Option<PathBuf> {
    let configured = env::path(env::DOCKER_CONFIG);
    configured.or_else(|| Some(env::path(env::HOME)?.join(".docker")))
}

/// The name of the helper in a config; the program is called `docker-credential-` and this.
pub const HELPER: &str = "remote-buildkit";

/// The name by which docker calls the helper.
pub const PROGRAM: &str = "docker-credential-remote-buildkit";
