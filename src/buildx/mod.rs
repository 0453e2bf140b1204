//! buildx: its directory and files, its installation, and a test build. Only this module knows the format of those
//! files.

pub mod bake;
mod image_build;
mod install;
mod instance;
mod isolated_build;
pub mod known_issues;
mod lock;
pub mod release;
mod requirement;
mod run;
mod store;
mod test_build;

pub use image_build::{ImageBuild, ImageBuildResult};
pub use install::{InstalledPrograms, PLUGIN, check_installed, has_docker_cli, installed_program};
pub use instance::{Builder, Node};
pub use requirement::{BuildxDecision, BuildxVersion, InstalledBuildx, decide};
pub use store::Store;
pub use test_build::{TestBuild, TestBuildResult, version, version_of};
