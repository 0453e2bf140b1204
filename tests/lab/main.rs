//! The tests that need a lab: the real program on a real cluster. `cargo xtask test` starts the lab and runs them.
//!
//! One binary has a module for each subject. Tests run in parallel, each in its own namespace. Those in [`faults`]
//! run one at a time.

mod adopt;
mod agents;
mod arm64;
mod bad_input;
mod builders;
mod buildkitd;
mod busy;
mod clock;
mod cluster_access;
mod connection;
mod demo;
mod disk;
mod docker_config;
mod doctor;
mod ecr;
mod endpoints;
mod examples;
mod expiry;
mod faults;
mod home;
mod isolation;
mod job;
mod job_buildx;
mod lifecycle;
mod log;
mod machine;
mod manifests;
mod matrix;
mod monorepo;
mod multiple_agents;
mod networks;
mod oracle;
mod patch;
mod placement;
mod platforms;
mod quick_start;
mod race;
mod rbac;
mod remedies;
mod removed;
mod restart;
mod runner;
mod setup;
mod signals;
mod stages;
mod stuck;
mod support;
mod terraform;
mod tokens;
mod toolkit;
mod trust_policy;
mod verbose;
mod versions;
