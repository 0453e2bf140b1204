//! The commands: each reads like the list of steps a user would expect.

mod children;
pub mod connect;
pub mod credential;
pub mod destroy;
pub mod disconnect;
pub mod doctor;
mod guard;
pub mod manifests;
pub mod matrix;
mod registries;
mod road;
pub mod runner;
mod selection;
mod session;
mod sign_in;
pub mod token;
