//! The flags of `demo`.

use clap::Args;

use super::ConnectArgs;

#[derive(Debug, Args)]
pub struct DemoArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Build argument, as NAME=VALUE; can be repeated. NODE and GO are the base images, for a cluster that cannot pull
    /// them from Docker Hub.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Demo")]
    pub build_arg: Vec<String>,
    /// Keep the namespace and its agent.
    #[arg(long, help_heading = "Demo")]
    pub keep: bool,
}

/// The defaults of flags of `connect` that `demo` changes: its agent is small, and is deleted at the end.
const DEFAULTS: [(&str, &str); 3] = [
    ("namespace", "remote-buildkit-demo"),
    ("storage", "10Gi"),
    ("drain_timeout", "10s"),
];

/// The flags of `connect` that have no effect on `demo`.
const WITHOUT_EFFECT: [&str; 7] = [
    "deploy",
    "cache_key",
    "ecr",
    "unavailable",
    "buildx_version",
    "buildx_url",
    "buildx_sha256",
];

/// Adapts the flags that are those of `connect`.
pub(super) fn adapt(command: clap::Command) -> clap::Command {
    let command = DEFAULTS.iter().fold(command, |command, (flag, value)| {
        command.mut_arg(flag, |arg| arg.default_value(*value))
    });
    let command = WITHOUT_EFFECT.iter().fold(command, |command, flag| {
        command.mut_arg(flag, |arg| arg.hide(true))
    });
    command.mut_arg("namespace", |arg| {
        arg.help("Namespace that the demo creates and deletes. It must not exist")
    })
}
