//! GitHub's REST API: commits and trees of a repository, and registration of runners.

mod limits;
mod repository;
pub mod runners;
mod server;

#[cfg(fuzzing)]
pub use repository::listing_of;
pub use repository::{Listing, RepositoryApi};
