//! `cargo xtask generate`: updates the sections of the documentation that are generated from action.yml, examples/ and others.

use anyhow::Result;

use crate::tool::{cargo, stage};

#[derive(Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    /// Change nothing, and fail if a section is out of date
    #[arg(long)]
    check: bool,
}

/// Runs the tests that compare the sections. They also write them, so that the check and the generator cannot differ.
pub(crate) fn run(args: &GenerateArgs) -> Result<()> {
    let mut test = cargo(&[
        "test",
        "--quiet",
        "--locked",
        "--lib",
        "--test",
        "integration",
        "--",
        "--exact",
        "documents::generated_parts_are_up_to_date",
        "tests::documents_generated_from_code_are_up_to_date",
    ]);
    if !args.check {
        test.env("REMOTE_BUILDKIT_WRITE_DOCUMENTS", "1");
    }
    stage("generated sections of the documentation", &mut test)
}
