//! The commands: each reads like the list of steps a user would expect.

pub mod connect;
pub mod disconnect;
pub mod manifests;
mod selection;
mod sign_in;
pub mod token;

use anyhow::Context;

/// One thread: the program waits far more than it computes.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the asynchronous runtime")
}
