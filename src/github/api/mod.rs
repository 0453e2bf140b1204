//! GitHub's REST API: commits and trees of a repository, its ids, and registration of runners.

mod identity;
mod limits;
pub mod repository;
pub mod runners;
mod server;

pub use identity::repository_identity;
pub use repository::{Listing, RepositoryApi};
