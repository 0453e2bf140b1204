//! GitHub: the job in which this program runs, its OIDC token, and the REST API.

pub mod api;
mod app;
mod job;
mod no_token;
pub mod oidc;
mod scope;

pub use app::AppKey;
pub use job::{
    add_path, error, export, in_job, mask, repository, save_state, session_name, set_output, state, summary,
    warn,
};
pub use no_token::{NoTokenReason, no_token_reason};
pub use oidc::id_token;
pub use scope::{RunnerScope, ScopeKind};
