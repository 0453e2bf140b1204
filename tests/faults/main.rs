//! What breaks on the way, broken: `cargo xtask test` runs these on the lab after the others, one at a time, for each
//! disturbs all of it. docs/design/fault-tests.md has a row for each test.

mod agents;
mod api_server;
mod authenticator;
mod aws;
mod busy;
mod connection;
mod ecr;
mod kubelet;
mod load;
mod node;
mod oidc;
mod trial;

#[path = "../lab/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests of tests/lab use all of it")]
mod support;
