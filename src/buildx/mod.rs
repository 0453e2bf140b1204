//! buildx: its folder, its files, where it is installed. The only module that knows their shapes.

mod install;
mod instance;
mod lock;
mod store;

pub use install::check_installed;
pub use instance::{Builder, Node};
pub use store::Store;
