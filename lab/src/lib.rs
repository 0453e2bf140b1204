//! A real Kubernetes that looks like EKS, on one machine, without a container engine: etcd, kube-apiserver with the
//! real aws-iam-authenticator as its webhook, controllers, nodes that are network namespaces with a containerd and a
//! kubelet each, a registry, and EKS, STS, IAM and GitHub's OIDC issuer by an emulator that checks signatures.
//!
//! [`install`] makes the parts once and keeps them; [`Lab::up`] starts them in seconds; dropping the [`Lab`] stops
//! them and leaves nothing behind.

mod act;
mod architecture;
mod archive;
mod aws;
mod bare;
mod binfmt;
pub mod cache;
pub mod cancel;
mod cgroup;
mod command;
mod control_plane;
mod debian;
mod ecr;
mod emulation;
mod faults;
mod go;
mod host_programs;
mod images;
mod install;
mod kernel;
mod kubelet;
mod lifecycle;
mod machine;
mod network;
mod node;
mod packages;
mod pki;
mod process;
pub mod progress;
mod registry;
mod requests;
mod rootless;
mod runc;
mod sandbox;
mod state;
mod traces;
pub mod versions;
mod volumes;

pub use act::{Checkout, Job};
pub use architecture::Architecture;
pub use command::wait;
pub use faults::Fault;
pub use install::{Installed, faketime, install};
pub use lifecycle::{Lab, NODES, daemons, down};
pub use machine::{Entry, Machine, Tree};
pub use requests::ApiRequest;
pub use state::{Node, State};
pub use traces::Traces;

use std::path::{Path, PathBuf};

/// A file or folder of this crate that is not Rust.
pub(crate) fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
