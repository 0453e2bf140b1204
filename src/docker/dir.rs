//! docker's directory.

use std::path::PathBuf;

use crate::env;

/// Returns docker's directory: `$DOCKER_CONFIG` or `~/.docker`.
pub fn dir() -> Option<PathBuf> {
    let configured = env::path(env::DOCKER_CONFIG);
    configured.or_else(|| Some(env::path(env::HOME)?.join(".docker")))
}
