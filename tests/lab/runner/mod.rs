//! Tests of `remote-buildkit runner`, which sets up a machine so that its jobs build remotely without a workflow
//! step.

mod action;
mod bare;
mod credentials;
mod existing;
mod pod;
mod registered;
