//! The real program on the real thing: `cargo xtask test` brings the lab up and runs these.
//! One binary, a file for each subject.

mod adopt;
mod arm64;
mod bad_input;
mod buildkitd;
mod clock;
mod disk;
mod doctor;
mod expiry;
mod home;
mod isolation;
mod job;
mod lifecycle;
mod manifests;
mod networks;
mod patch;
mod placement;
mod platforms;
mod race;
mod rbac;
mod restart;
mod roads;
mod several;
mod signals;
mod stuck;
mod support;
mod tokens;
mod toolkit;
mod verbose;
