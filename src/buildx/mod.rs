//! buildx: its folder, its files, where it is installed, a build to see whether builds work. The only module that knows their shapes.

pub mod bake;
mod install;
mod instance;
mod lock;
pub mod release;
mod run;
mod store;
mod trial;

pub use install::{Installed, PLUGIN, check_installed};
pub use instance::{Builder, Node};
pub use store::Store;
pub use trial::{Built, Trial, version};
