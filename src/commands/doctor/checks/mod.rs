//! The checks, one file each.

pub mod agent;
pub mod build;
pub mod buildkit;
pub mod buildx;
pub mod cluster;
pub mod csi_driver;
pub mod disk;
pub mod exec;
pub mod identity;
pub mod inputs;
pub mod rbac;
pub mod registries;
pub mod runner;
pub mod storage_class;
pub mod token;
pub mod volume;
