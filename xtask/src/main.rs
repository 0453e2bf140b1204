//! Runs the project's development tasks: `cargo xtask TASK`.

mod bench;
mod demo;
mod dist;
mod faults;
mod fuzz;
mod generate;
mod lab_task;
mod test;
mod tool;
mod workflows;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Tasks of remote-buildkit.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Run the example workflow twice on the lab, with a cold and with a warm cache
    Demo,
    /// Run all checks and tests, as CI does; starts a lab and stops it afterwards
    Test(test::TestArgs),
    /// Install, start or stop the lab
    #[command(subcommand)]
    Lab(lab_task::LabTask),
    /// Benchmark connect and builds on the lab, compared with the alternatives
    Bench(bench::BenchArgs),
    /// Measure the seconds of each fault test and write them to docs/design/fault-tests.md
    Faults(faults::FaultsArgs),
    /// Run the fuzz targets
    Fuzz(fuzz::FuzzArgs),
    /// Build the binaries in dist/
    Dist(dist::DistArgs),
    /// Check the workflows, actions and examples with zizmor and actionlint
    Workflows,
    /// Update the generated sections of the documentation
    Generate(generate::GenerateArgs),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Demo => demo::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Lab(task) => lab_task::run(task),
        Task::Faults(args) => faults::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Workflows => workflows::run(),
        Task::Generate(args) => generate::run(&args),
    };
    finish(done)
}

fn finish(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
