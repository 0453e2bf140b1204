//! `cargo xtask generate`: the parts of the documents that are made from action.yml and examples/.

use anyhow::Result;

use crate::tool::{cargo, stage};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing, fail where something would change
    #[arg(long)]
    check: bool,
}

/// The test that compares knows how to write: what is checked and what is generated cannot differ.
pub(crate) fn run(args: &Args) -> Result<()> {
    let test = "documents::generated_parts_are_up_to_date";
    let mut test = cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--test",
        "integration",
        "--",
        "--exact",
        test,
    ]);
    if !args.check {
        test.env("REMOTE_BUILDKIT_WRITE_DOCUMENTS", "1");
    }
    stage("generated parts of the documents", &mut test)
}
