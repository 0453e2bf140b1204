//! docker's directory, `config.json` with this program's entries, and the protocol of credential helpers. No other
//! module knows their formats.

pub mod config;
mod config_lease;
mod credential_cache;
mod dir;
mod entries;
mod list;
pub mod protocol;

pub use config::Setting;
pub use config_lease::DockerConfig;
pub use credential_cache::CredentialCache;
pub use dir::dir;
pub use protocol::PROGRAM;
