//! Runs a CI job's image builds on a BuildKit agent with a persistent cache in the user's own cluster.
//!
//! The product is the program. It is a library only so that the fuzz targets can call its parsers. All modules are private,
//! so that the compiler finds unused code.

mod aws;
mod buildx;
mod cli;
mod cluster;
mod color;
mod commands;
mod connection_error;
mod docker;
mod download;
mod endpoint_access;
mod env;
mod error_code;
mod failure_kind;
mod files;
#[cfg(fuzzing)]
pub mod fuzz;
mod git;
mod github;
mod http_client;
mod inputs;
mod known_issues;
mod kubeconfig;
mod machine;
mod output;
mod problem;
mod proxy;
mod registry;
mod report;
mod retry;
mod secret;
mod trace;
mod trust;

use std::process::ExitCode;

use remote_buildkit_agent as agent;
use remote_buildkit_matrix as matrix;
use remote_buildkit_setup as setup;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use cli::Command;
use error_code::ErrorCode;
use problem::Problem;

/// Runs the program.
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
            let cli = cli::parse(line);
            log(cli.verbose);
            report::set_quiet(cli.quiet);
            color::init(cli.color);
            run(&cli.command)
        }
        Err(unreadable) => Err(inputs::invalid_utf8(&unreadable).into()),
    };
    let code = match done {
        Ok(code) => code,
        Err(error) => fail(error),
    };
    output::finish();
    code
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    use_ring();
    match command {
        Command::Connect(args) => commands::connect::run(args)?,
        Command::Disconnect(args) => commands::disconnect::run(args)?,
        // The doctor has printed its report; its exit code says whether a build would work.
        Command::Doctor(args) => return commands::doctor::run(args),
        Command::Matrix(args) => commands::matrix::run(args)?,
        // Its user phase has an exit code of its own.
        Command::Runner(args) => return commands::runner::run(args),
        Command::Token(args) => commands::token::run(&args.session)?,
        Command::Manifests(args) => commands::manifests::run(args)?,
        Command::Setup(args) => commands::setup::run(args)?,
        Command::Destroy(args) => commands::destroy::run(args)?,
        Command::Demo(args) => commands::demo::run(args)?,
        Command::Completions(args) => commands::shell::completions(args)?,
        Command::Man(args) => commands::shell::man(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Selects the crypto provider of rustls, before any TLS client exists. kube and the AWS SDK each depend on rustls, which
/// needs one provider for the process.
fn use_ring() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Turns on debug lines if the user asked for them. Only this program's: those of the HTTP clients contain headers.
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

/// Prints an error, here and nowhere else: in a job as an annotation, which the log shows as well, and otherwise for
/// people, with flags in place of inputs. Returns the exit code.
fn fail(error: anyhow::Error) -> ExitCode {
    let problem = match error.downcast::<Problem>() {
        Ok(problem) => problem,
        Err(other) => Problem::new(ErrorCode::Unexpected, format!("{other:#}"), problem::REPORT_IT),
    };
    report::end_group();
    if github::in_job() {
        github::error(&problem);
    } else {
        output::finish();
        let text = format!("error: {}", cli::inputs_as_flags(&problem.to_string()));
        eprintln!("{}", color::of_stderr(&text));
    }
    exit_code(&problem)
}

/// Returns the exit code of an error: outside of a job 2 for invalid flags, as clap has for usage errors, otherwise 1.
fn exit_code(problem: &Problem) -> ExitCode {
    match problem.code {
        ErrorCode::InvalidInput if !github::in_job() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests;
