//! GitHub's REST API: commits and trees of a repository, and registration of runners.

mod limits;
pub mod repository;
pub mod runners;
mod server;

pub use repository::{Listing, RepositoryApi};
