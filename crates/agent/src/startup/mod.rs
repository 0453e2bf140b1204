//! The startup of an agent: how far it has come, and whether it can still succeed.
//!
//! Kubernetes retries everything, so nothing that it reports is final by itself. The module `failure` has the table of the messages
//! that name a problem which only a person can solve: pattern, failure, grace period, remedy. An agent is given up when
//! the same failure has been suspected for its grace period.
//!
//! On the way to an error an event has three names: an `AgentEvent` in the [`StartupState`], the
//! [`StartupFailure`] that `suspected_failure` finds, and the error that the caller prints.

mod events;
mod failure;
mod message_patterns;
mod remedy;
mod scheduling;
mod state;
mod suspected_failure;
mod termination;
#[cfg(test)]
mod tests;

pub use failure::{FailureKind, GracePeriod, StartupFailure};
pub use scheduling::{Unschedulable, UnschedulableCause};
pub use state::{StartupState, StartupStep};
