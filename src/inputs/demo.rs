//! Validates the flags of `demo`.

use super::connect::{self, Deploy, Plan};
use super::validation::ValidationErrors;
use crate::cli::DemoArgs;
use crate::problem::Problem;

/// The validated flags of `demo`.
#[derive(Debug)]
pub struct Demo {
    pub plan: Plan,
    /// The arguments of the builds, as `NAME=VALUE`.
    pub build_args: Vec<String>,
    /// Whether the namespace and the agent stay.
    pub keep: bool,
}

/// Validates the flags of `demo`.
pub fn demo(args: &DemoArgs) -> Result<Demo, Problem> {
    let DemoArgs {
        connect,
        build_arg,
        keep,
    } = args;
    let mut errors = ValidationErrors::default();
    for argument in build_arg {
        errors.check(
            argument.split_once('=').is_some_and(|(name, _)| !name.is_empty()),
            "build-arg",
            argument,
            "must be NAME=VALUE, such as GO=registry.example.com/golang:1.26",
        );
    }
    let plan = connect::check(connect, &mut errors);
    errors.finish(plan.map(|plan| Demo {
        // The agent is new, and its builds push nothing.
        plan: Plan {
            deploy: Deploy::IfAbsent,
            registries: None,
            ..plan
        },
        build_args: build_arg.clone(),
        keep: *keep,
    }))
}
