//! The tests that need no lab: the real executable, servers on the loopback interface, and the repository's own files.
//! One binary, so that the program and its dependencies are linked once.

mod documents;
mod errors;
mod examples;
mod install_script;
mod job_buildx;
mod launcher;
mod machine;
mod matrix;
mod module_rings;
mod output;
mod registration;
mod sources;
mod timeouts;
mod trust_policy;
mod unavailable;
mod workflows;
