//! The real program on the real thing: `cargo xtask test` brings the lab up and runs these.
//! One binary, a file for each subject.

mod adopt;
mod arm64;
mod bad_input;
mod builders;
mod buildkitd;
mod clock;
mod disk;
mod doctor;
mod expiry;
mod healed;
mod home;
mod isolation;
mod job;
mod lifecycle;
mod log;
mod machine;
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
mod stages;
mod stuck;
mod support;
mod taken_away;
mod tokens;
mod toolkit;
mod verbose;
mod versions;
