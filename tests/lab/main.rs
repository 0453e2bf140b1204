//! The real program on the real thing: `cargo xtask test` brings the lab up and runs these.
//! One binary, a file for each subject.

mod adopt;
mod bad_input;
mod expiry;
mod home;
mod job;
mod manifests;
mod race;
mod rbac;
mod restart;
mod roads;
mod signals;
mod support;
mod tokens;
mod toolkit;
mod unprivileged;
