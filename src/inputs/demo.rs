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
    errors.finish(plan.map(|mut plan| {
        // The agent is new, and its builds push nothing.
        plan.deploy = Deploy::IfAbsent;
        plan.registries = None;
        // The example builds on any architecture, and this machine may have one that the cluster does not have.
        plan.agents.spec.default_arch = None;
        Demo {
            plan,
            build_args: build_arg.clone(),
            keep: *keep,
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::{self, Command};

    fn of(flags: &[&str]) -> Result<Demo, Problem> {
        let line = ["remote-buildkit", "demo", "--kubeconfig=config"]
            .iter()
            .chain(flags);
        match cli::parse(line.map(OsString::from).collect()).command {
            Command::Demo(args) => demo(&args),
            other => panic!("not demo: {other:?}"),
        }
    }

    #[test]
    fn an_agent_of_the_demo_is_small_and_on_any_node() {
        let demo = of(&[]).expect("valid flags");
        let spec = &demo.plan.agents.spec;
        assert_eq!(
            (spec.namespace.as_str(), spec.storage.as_str()),
            ("remote-buildkit-demo", "10Gi")
        );
        assert_eq!(spec.drain.as_secs(), 10);
        assert_eq!(spec.default_arch, None);
        assert!(!demo.keep);
    }

    #[test]
    fn a_build_argument_has_a_name() {
        let demo = of(&["--build-arg=GO=a", "--build-arg=NODE="]).expect("valid flags");
        assert_eq!(demo.build_args, ["GO=a", "NODE="]);
        let error = of(&["--build-arg==a"]).expect_err("no name").to_string();
        assert!(error.contains("must be NAME=VALUE"), "{error}");
    }
}
