//! Faults of the lab itself: a daemon that is frozen or killed, a node that is cut off, AWS or GitHub that answers with
//! errors. Every job on the lab would notice, so `cargo xtask test` runs these one at a time, after the other tests.
//! docs/design/fault-tests.md has a row for each of them.

mod agents;
mod api_server;
mod authenticator;
mod aws;
mod ecr;
mod kubelet;
mod load;
mod node;
mod oidc;
