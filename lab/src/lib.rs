//! A lab: a real Kubernetes that looks like EKS, on one machine and without a container engine. It has etcd, kube-apiserver
//! with the real aws-iam-authenticator as its webhook, controllers, nodes (a network namespace with a containerd and a kubelet
//! each), a registry, and an emulator of EKS, STS, IAM and GitHub's OIDC issuer that checks signatures.
//!
//! [`install`] builds the parts once and caches them; [`Lab::up`] starts them in seconds; dropping the [`Lab`] stops them and
//! removes everything.

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
mod host_snapshot;
mod http_server;
mod images;
mod install;
mod kernel;
mod kubelet;
mod lifecycle;
mod linters;
mod machine;
mod network;
mod node;
mod packages;
mod pki;
mod plan;
mod process;
pub mod progress;
mod registry;
mod requests;
mod rootless;
mod runc;
mod sandbox;
mod silent_server;
mod state;
mod toolchain;
pub mod versions;
mod volumes;

pub use act::{Checkout, Job, Trigger};
pub use architecture::Architecture;
pub use command::wait;
pub use faults::Fault;
pub use host_snapshot::HostSnapshot;
pub use http_server::{HttpRequest, HttpResponse, HttpServer};
pub use install::{Installed, faketime, install, install_parts};
pub use lifecycle::{Lab, NODES, daemons, down};
pub use linters::{Linters, linters};
pub use machine::{Entry, Machine, Tree};
pub use plan::Parts;
pub use requests::ApiRequest;
pub use silent_server::SilentServer;
pub use state::{NO_REQUESTS, Node, State};
pub use toolchain::push_toolchain;

use std::path::{Path, PathBuf};

/// Returns the path of a file or directory of this crate that is not Rust.
pub(crate) fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
