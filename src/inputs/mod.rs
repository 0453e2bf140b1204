//! Validates the inputs of the action and the flags, and turns them into typed values. Contacts neither AWS nor the
//! cluster, and reports all invalid values at once.

mod agent;
mod buildx;
mod cluster_access;
mod connect;
mod demo;
mod lists;
mod matrix;
mod names;
mod registration;
mod registries;
mod runner;
mod setup;
mod validation;

pub use cluster_access::{AwsIdentity, ClusterAccess};
pub use connect::{Deploy, Plan, Removal, Unavailable, connect, destroy, manifests};
pub use demo::{Demo, demo};
pub use matrix::{MatrixInputs, matrix};
pub use registration::{Registration, RegistrationCredential, SecretSource};
pub use registries::Registries;
pub use runner::{MachineSetup, Programs, RunnerOperation, runner};
pub use setup::{AwsSetup, EcrRepository, Setup, setup};
pub use validation::invalid_utf8;

#[cfg(test)]
mod tests;
