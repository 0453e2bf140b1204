//! What the jobs of a repository need to build on agents: the policies of an IAM role, the Kubernetes objects of a namespace,
//! and the plan that turns what exists into that.
//!
//! Pure functions of values: no client, no clock, no I/O.

pub mod account;
pub mod kubernetes;
pub mod plan;
pub mod policy;
pub mod repository;
pub mod workflow;

/// The Kubernetes group of the jobs: the access entry has it, and the RoleBinding names it.
pub const GROUP: &str = "remote-buildkit";

/// The tag of the AWS resources that `setup` created; resources without it belong to others.
pub const TAG: (&str, &str) = ("managed-by", "remote-buildkit");
