//! Puts a CI job onto a BuildKit agent with a persistent cache in the user's own cluster.
//!
//! A library only so that tests and fuzzers reach its parts; the product is the program.

pub mod aws;
pub mod buildx;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod diagnosis;
pub mod docker;
pub mod download;
pub mod env;
pub mod error_code;
pub mod files;
pub mod git;
pub mod github;
pub mod inputs;
pub mod kubeconfig;
pub mod machine;
pub mod output;
pub mod problem;
pub mod proxy;
pub mod registry;
pub mod report;
pub mod retry;
pub mod secret;
pub mod trace;
pub mod trust;
pub mod web;

use std::process::ExitCode;

use clap::Parser;
use remote_buildkit_agent as agent;
use remote_buildkit_matrix as matrix;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use cli::{Cli, Command};
use error_code::ErrorCode;
use problem::Problem;

/// The program.
pub fn main() -> ExitCode {
    let mut typed = std::env::args_os();
    if typed
        .next()
        .is_some_and(|program| commands::credential::is_called(&program))
    {
        log(false);
        use_ring();
        return commands::credential::run(typed.next().and_then(|word| word.into_string().ok()).as_deref());
    }
    let done = match cli::arguments(std::env::args_os(), env::raw) {
        Ok(line) => {
            let cli = Cli::parse_from(line);
            log(cli.verbose);
            run(&cli.command)
        }
        Err(unreadable) => Err(inputs::invalid_utf8(&unreadable).into()),
    };
    let code = match done {
        Ok(code) => code,
        Err(error) => {
            fail(error);
            ExitCode::FAILURE
        }
    };
    output::finish();
    code
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    use_ring();
    match command {
        Command::Connect(args) => commands::connect::run(args)?,
        Command::Disconnect(args) => commands::disconnect::run(args)?,
        // It has printed what it found, and its code is the verdict.
        Command::Doctor(args) => return commands::doctor::run(args),
        Command::Matrix(args) => commands::matrix::run(args)?,
        // Its user phase has an exit code of its own.
        Command::Runner(args) => return commands::runner::run(args),
        Command::Token(args) => commands::token::run(&args.session)?,
        Command::Manifests(args) => commands::manifests::run(args)?,
        Command::Destroy(args) => commands::destroy::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Before any TLS client exists: kube and the AWS SDK bring rustls each, and it wants one provider.
fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Our own debug lines when the user asked for them; never those of the HTTP clients, which hold headers.
fn log(verbose: bool) {
    let set = |name: &str, value: &str| env::get(name).as_deref() == Some(value);
    let level = if verbose || set(env::RUNNER_DEBUG, "1") || set(env::ACTIONS_STEP_DEBUG, "true") {
        LevelFilter::DEBUG
    } else {
        LevelFilter::OFF
    };
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .with(Targets::new().with_target("remote_buildkit", level))
        .init();
}

/// The one place where an error is printed: in a job as an annotation, which its log shows too, elsewhere for people.
fn fail(error: anyhow::Error) {
    let problem = match error.downcast::<Problem>() {
        Ok(problem) => problem,
        Err(other) => Problem::new(ErrorCode::Unexpected, format!("{other:#}"), ""),
    };
    if github::in_job() {
        github::error(&problem);
    } else {
        output::finish();
        eprintln!("error: {problem}");
    }
}
