//! A machine whose jobs build remotely without a step of theirs.

mod action;
mod bare;
mod kept;
mod keys;
mod pod;
mod registered;
