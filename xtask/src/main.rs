//! The project's tasks: `cargo xtask TASK`.

mod bench;
mod demo;
mod dist;
mod faults;
mod fuzz;
mod generate;
mod lab_task;
mod test;
mod tool;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Tasks of remote-buildkit.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Show the action at work: two runs of a workflow on the lab
    Demo,
    /// Run every test, on a lab that is made for it: what CI runs
    Test(test::Args),
    /// Bring the lab up or down by hand
    #[command(subcommand)]
    Lab(lab_task::Task),
    /// Measure connect and builds against the alternatives, on the lab
    Bench(bench::Args),
    /// Measure how long each fault in docs/design/fault-tests.md takes to its verdict, and write it there
    Faults(faults::Args),
    /// Feed what reads foreign input with inputs of all kinds
    Fuzz(fuzz::Args),
    /// Build the binaries of the action
    Dist(dist::Args),
    /// Bring the generated parts of the documents up to date
    Generate(generate::Args),
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
