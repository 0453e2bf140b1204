//! `cargo xtask test`: everything that can fail, in the order of what fails fastest.

mod counts;

use anyhow::Result;
use lab::{Lab, Traces};

use self::counts::Counts;
use crate::fuzz;
use crate::tool::{cargo, stage, test_binary};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the tests of the lab whose names hold this
    #[arg(long)]
    only: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    lab::cancel::watch()?;
    let mut counts = Counts::default();
    let result = stages(args, &mut counts);
    counts.print();
    result
}

fn stages(args: &Args, counts: &mut Counts) -> Result<()> {
    if args.only.is_none() {
        stage("format", &mut cargo(&["fmt", "--all", "--check"]))?;
        let fuzzers = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
        stage("format of the fuzzers", &mut cargo(&fuzzers))?;
        // Those that want a lab are no targets of `all`, which has cargo overlook `--test`.
        for targets in [&["--all-targets"][..], &["--test=lab", "--test=faults"]] {
            let mut lints = cargo(&["clippy", "--workspace", "--locked", "--quiet"]);
            stage("lints", lints.args(targets).args(["--", "-D", "warnings"]))?;
        }
        counts.stage(
            "tests without the lab",
            &mut cargo(&["test", "--workspace", "--locked"]),
        )?;
        fuzz::short()?;
    }
    // Built before the lab is up, so that it is not up for longer than it is used.
    stage(
        "tests on the lab, built",
        test_binary("lab").args(["--test", "faults", "--no-run"]),
    )?;
    let installed = lab::install()?;
    let before = Traces::now()?;
    let lab = Lab::running_or_up(&installed)?;
    let mut tests = test_binary("lab");
    // Two processors: more tests at once only wait for each other.
    tests.args(["--", "--test-threads", "3"]).args(&args.only);
    let result = counts.stage("tests on the lab", &mut tests).and_then(|()| {
        // They break what the others stand on, so one at a time, and not beside those.
        let mut faults = test_binary("faults");
        faults.args(["--", "--test-threads", "1"]).args(&args.only);
        counts.stage("tests of faults", &mut faults)
    });
    lab.end()?;
    Traces::now()?.same_as(&before)?;
    result
}
