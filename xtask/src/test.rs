//! `cargo xtask test`: every check, those that fail fastest first.

mod binary;
mod counts;
mod tally;

use std::process::Command;

use anyhow::Result;
use lab::{HostSnapshot, Lab};

use self::binary::TestBinary;
use self::counts::Counts;
use crate::tool::{cargo, stage};
use crate::{fuzz, workflows};

/// Tests of faults disturb every job on the lab, so they run one at a time.
const ONE_AT_A_TIME: &str = "faults::";

/// How many random repositories the tests of the matrix compare with BuildKit, unless `--all` asks for every one.
const ORACLE: (&str, &str) = ("REMOTE_BUILDKIT_ORACLE_REPOSITORIES", "15");

#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// Run only the tests on the lab whose names contain this text
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Compare the matrix with BuildKit on all random repositories, not only on the first 15; as before a release
    #[arg(long)]
    all: bool,
    /// How many tests on the lab run at the same time
    // Two for each processor of CI's machine: most tests wait for a pod or a deadline.
    #[arg(long, value_name = "N", default_value_t = 4)]
    threads: usize,
}

pub(crate) fn run(args: &TestArgs) -> Result<()> {
    lab::cancel::watch()?;
    let mut counts = Counts::default();
    let result = stages(args, &mut counts);
    print!("{}", counts.report());
    result
}

fn stages(args: &TestArgs, counts: &mut Counts) -> Result<()> {
    if args.only.is_none() {
        let mut run = |name: &str, command: &mut Command| counts.timed(name, || stage(name, command));
        run("format", &mut cargo(&["fmt", "--all", "--check"]))?;
        let fuzzers = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
        run("format of the fuzzers", &mut cargo(&fuzzers))?;
        // tests/lab is no target of `--all-targets`, with which cargo ignores `--test`: hence two calls.
        for targets in ["--all-targets", "--test=lab"] {
            let clippy = ["clippy", "--workspace", "--locked", "--quiet", targets];
            run(
                &format!("lints ({targets})"),
                cargo(&clippy).args(["--", "-D", "warnings"]),
            )?;
        }
        counts.timed("checks of the workflows", workflows::run)?;
        // `--all-targets` leaves out documentation tests. There are none.
        counts.stage(
            "tests without the lab",
            &mut cargo(&["test", "--workspace", "--locked", "--all-targets"]),
        )?;
        counts.timed("fuzz targets", fuzz::short)?;
    }
    // Compiled before the lab starts, so that it is up only as long as it is used.
    let tests = counts.timed("build of the tests on the lab", || TestBinary::build("lab"))?;
    let installed = counts.timed("build of the lab", lab::install)?;
    let before = HostSnapshot::take()?;
    let lab = counts.timed("start of the lab", || Lab::running_or_new(&installed))?;
    let result = on_the_lab(args, &tests, counts);
    counts.timed("end of the lab", || lab.end())?;
    HostSnapshot::take()?.ensure_nothing_new(&before)?;
    result
}

fn on_the_lab(args: &TestArgs, tests: &TestBinary, counts: &mut Counts) -> Result<()> {
    let is_chosen = |name: &str| args.only.as_ref().is_none_or(|text| name.contains(text));
    let environment = if args.all || args.only.is_some() {
        vec![]
    } else {
        vec![ORACLE]
    };
    counts.stage_of("tests on the lab", || {
        let chosen = |name: &str| is_chosen(name) && !name.starts_with(ONE_AT_A_TIME);
        tests.run(chosen, args.threads, &environment)
    })?;
    counts.stage_of("tests of faults", || {
        let chosen = |name: &str| is_chosen(name) && name.starts_with(ONE_AT_A_TIME);
        tests.run(chosen, 1, &environment)
    })
}
