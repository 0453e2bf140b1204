//! What the fuzz targets call: the parsers of untrusted input.

pub use crate::aws::eks::describe_once;
pub use crate::aws::{Session, token};
pub use crate::buildx::{Builder, Node, Store};
pub use crate::cluster::exec::run as run_exec;
pub use crate::cluster::probe::parse as parse_daemon_status;
pub use crate::cluster::wait::startup_failure;
pub use crate::docker::Setting;
pub use crate::docker::config::add_and_remove;
pub use crate::git::tree::ChangeSet;
pub use crate::github::api::repository::listing_of;
pub use crate::github::oidc::id_token_of;
pub use crate::kubeconfig::{excerpt_of, text as kubeconfig_text, with_authorities, with_plugin};
pub use crate::problem::Problem;
