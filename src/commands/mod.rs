//! The commands. Each reads as the list of steps that a user expects.

mod agent_checks;
mod buildx_release;
mod children;
mod cluster_access;
mod confirm;
pub mod connect;
pub mod credential;
pub mod demo;
pub mod destroy;
pub mod disconnect;
pub mod doctor;
mod guard;
mod job_state;
pub mod manifests;
pub mod matrix;
mod registries;
pub mod runner;
mod session;
pub mod setup;
pub mod shell;
mod sign_in;
pub mod token;
