//! An agent's start: how far it has come, and whether waiting for it is of no use.

mod claim;
mod crash;
mod doubts;
mod heard;
mod kubelet;
mod progress;
mod scheduling;
mod verdict;
mod words;

pub use progress::{Sight, Step};
pub use scheduling::{Cause, Refusal, sentence};
pub use verdict::{ClaimFault, Hopeless, Patience};
