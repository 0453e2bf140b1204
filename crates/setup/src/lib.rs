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

/// Returns the Kubernetes group of the jobs that use the agents of a namespace: the access entry has it, and the namespace's
/// RoleBinding names it. Each namespace has its own, so that a role for one cannot use the agents of another.
pub fn group(namespace: &str) -> String {
    format!("remote-buildkit:{namespace}")
}

/// The tag of the AWS resources that `setup` created; resources without it belong to others.
pub const TAG: (&str, &str) = ("managed-by", "remote-buildkit");
