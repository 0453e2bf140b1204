//! The machine of a self-hosted runner: its users and the programs that are installed on it. Everything is recorded
//! in a manifest before it is created, so that it can be undone.

mod lock;
mod manifest;
mod paths;
mod user;

pub use lock::MachineLock;
pub use manifest::{Change, InstallManifest};
pub use paths::{InstallPaths, config_dir};
pub use user::User;
