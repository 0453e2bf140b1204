//! Decides which images of a repository a change affects, and makes the job matrix that builds them.
//!
//! The crate does no I/O: the binary reads files, Git, GitHub and buildx, and passes values in.

pub mod bake;
pub mod build_inputs;
pub mod changes;
pub mod comparison;
pub mod definition;
pub mod directories;
pub mod discovery;
pub mod dockerfile;
pub mod entries;
pub mod glob;
pub mod ignore;
pub mod plan;
pub mod repo_paths;
pub mod table;
pub mod target;
pub mod tree;
