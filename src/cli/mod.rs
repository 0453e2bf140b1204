//! The command line. Each input of an action is the flag of the same name, and is declared only here. Values stay text
//! until `inputs` has validated all of them.

mod action_inputs;
mod connect;
mod demo;
mod help;
mod matrix;
mod output;
mod parse;
mod runner;
mod setup;
mod wording;

use clap::{Args, Parser, Subcommand};

pub use action_inputs::arguments;
pub use connect::{AgentArgs, ClusterArgs, ConnectArgs, DEFAULT_AUDIENCE, WhichArgs};
pub use demo::DemoArgs;
#[cfg(test)]
pub use help::reference;
pub use matrix::MatrixArgs;
pub use output::{ManifestFormat, OutputArgs, OutputFormat};
pub use parse::{command, parse};
pub use runner::{RegistrationArgs, RunnerArgs};
pub use setup::SetupArgs;
pub use wording::{for_reader, inputs_as_flags};

/// Joins the two examples at the end of a help text.
macro_rules! examples {
    ($first:literal, $second:literal) => {
        concat!("Examples:\n\n", $first, "\n\n", $second)
    };
}

/// Build container images on BuildKit agents with a persistent cache in your own Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(
    name = "remote-buildkit",
    version,
    args_override_self = true,
    after_help = examples!(
        "Connect buildx to an agent in an EKS cluster, build, and disconnect:
  remote-buildkit connect --cluster shop --region eu-west-1
  docker buildx build .
  remote-buildkit disconnect --builder NAME",
        "Find out why a build does not work:
  remote-buildkit doctor --cluster shop"
    )
)]
pub struct Cli {
    /// Print a line for each request to AWS, the cluster and GitHub.
    ///
    /// Secrets are left out. In a job, debug logging turns this on as well.
    #[arg(short, long, global = true, help_heading = GLOBAL, display_order = AFTER_ALL_OTHERS)]
    pub verbose: bool,
    /// Print no progress, only results, warnings and errors.
    #[arg(short, long, global = true, help_heading = GLOBAL, display_order = AFTER_ALL_OTHERS + 1)]
    pub quiet: bool,
    /// When to print in color. Overrides NO_COLOR.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value_t,
        help_heading = GLOBAL,
        display_order = AFTER_ALL_OTHERS + 2
    )]
    pub color: clap::ColorChoice,
    #[command(subcommand)]
    pub command: Command,
}

const GLOBAL: &str = "Global options";

/// The order of the global options in the synopsis of a man page: after the command's own, which clap numbers from 0.
const AFTER_ALL_OTHERS: usize = 1000;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect buildx on this machine to an agent, and deploy the agent if it does not exist.
    #[command(args_override_self = true, after_help = examples!("Connect to the EKS cluster `shop`, and deploy an agent if it does not exist:
  remote-buildkit connect --cluster shop --region eu-west-1", "Connect to one agent per architecture through a kubeconfig:
  remote-buildkit connect --kubeconfig ~/.kube/config -n ci --platforms linux/amd64,linux/arm64"))]
    Connect(Box<ConnectArgs>),
    /// Remove everything that `connect` wrote on this machine. The agent and its cache stay.
    #[command(args_override_self = true, after_help = examples!("Remove the builder that connect printed:
  remote-buildkit disconnect --builder remote-buildkit-agent-1a2b3c", "Find its name:
  docker buildx ls"))]
    Disconnect(DisconnectArgs),
    /// Check every step from this machine to a build and report problems. Accepts the same flags as `connect`.
    #[command(args_override_self = true, after_help = examples!("Check the EKS cluster `shop`:
  remote-buildkit doctor --cluster shop", "Print the checks that failed, for a script:
  remote-buildkit doctor --cluster shop -o json | jq '.[] | select(.status == \"failed\")'"))]
    Doctor(Box<DoctorArgs>),
    /// Show on your cluster what the cache of an agent is worth, and remove everything again. Accepts the flags of `connect`
    /// that describe the cluster and the agent.
    ///
    /// Creates a namespace with an agent, and builds an example application three times, each time as a job on a new machine
    /// does: with an empty cache, with nothing changed, and with one line changed. The identity needs the permission to create
    /// and delete a namespace.
    #[command(args_override_self = true, after_help = examples!("Run it on the current context of a kubeconfig:
  remote-buildkit demo --kubeconfig ~/.kube/config", "Run it on an EKS cluster that cannot pull from Docker Hub:
  remote-buildkit demo --cluster shop --build-arg NODE=mirror.example.com/node:24-alpine --build-arg GO=mirror.example.com/golang:1.26-alpine"))]
    Demo(Box<DemoArgs>),
    /// Print a job matrix with only the images that a change affects.
    #[command(args_override_self = true, after_help = examples!("List the images that differ from the main branch:
  remote-buildkit matrix --base origin/main", "List the files that the target `api` is built from:
  remote-buildkit matrix --explain api"))]
    Matrix(Box<MatrixArgs>),
    /// Set up an AWS account and a cluster for the jobs of repositories. Run it once, as an administrator.
    ///
    /// Looks first and prints a plan: + is created, ~ is changed, = exists and stays as it is. Then it asks. Run again, it
    /// changes only what differs. In AWS it creates GitHub's identity provider, an IAM role for the jobs and its access
    /// entry in the cluster; in the cluster a namespace, Roles, a StorageClass if none is the default, and the agent. It ends
    /// with a workflow to paste.
    #[command(args_override_self = true, after_help = examples!("Let the jobs of a repository build in the EKS cluster `shop`, and push to ECR:
  remote-buildkit setup --cluster shop --region us-west-2 --repository acme/shop --ecr shop", "Set up another cluster than EKS, without AWS:
  remote-buildkit setup --kubeconfig ~/.kube/config"))]
    #[command(mut_arg("namespace", |arg| arg.help("Namespace of the agent. It is created if it does not exist")))]
    Setup(Box<SetupArgs>),
    /// Set up this machine so that its jobs build remotely without a workflow step. Run it once at boot.
    ///
    /// Installs buildx, creates a permanent builder and sets up ECR logins.
    #[command(args_override_self = true, after_help = examples!("Set up a machine for the user `runner`, with ECR logins:
  remote-buildkit runner --user runner --cluster shop --ecr auto", "Undo it:
  remote-buildkit runner --user runner --remove"))]
    Runner(Box<RunnerArgs>),
    /// Print a Kubernetes credential. kubectl, buildx and other clients call this through the kubeconfig.
    #[command(after_help = examples!("Print the credential of a session:
  remote-buildkit token --session /run/user/1000/remote-buildkit/session.json", "Let kubectl call it, through the kubeconfig that connect wrote:
  kubectl --kubeconfig \"$KUBECONFIG\" get pods"))]
    Token(TokenArgs),
    /// Print the Kubernetes manifests that `connect` would apply. Accepts the same flags as `connect`.
    ///
    /// Flags that do not describe the agent, such as --cluster, have no effect here.
    #[command(args_override_self = true, after_help = examples!("Deploy an agent by GitOps instead of connect:
  remote-buildkit manifests -n ci --storage 200Gi > agent.yaml", "Print the Roles that jobs need as well:
  remote-buildkit manifests -n ci --rbac | kubectl apply -f -"))]
    Manifests(Box<ManifestsArgs>),
    /// Delete agents that `connect` deployed. Their cache volumes are kept unless you pass `--volumes`.
    #[command(args_override_self = true, after_help = examples!("Delete an agent and keep its cache volume:
  remote-buildkit destroy --cluster shop -n ci", "Delete an agent and its cache volume without confirmation:
  remote-buildkit destroy --cluster shop -n ci --volumes --yes"))]
    Destroy(DestroyArgs),
    /// Print a completion script for a shell.
    #[command(after_help = examples!(
        "Load completions into the current bash:\n  source <(remote-buildkit completions bash)",
        "Install completions for fish:\n  remote-buildkit completions fish > ~/.config/fish/completions/remote-buildkit.fish"
    ))]
    Completions(CompletionsArgs),
    /// Write the man pages to a directory.
    #[command(after_help = examples!(
        "Install the man pages:\n  remote-buildkit man /usr/local/share/man/man1",
        "Read one:\n  remote-buildkit man . && man ./remote-buildkit-connect.1"
    ))]
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ManifestsArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Also print two Roles for the identities of jobs: remote-buildkit-use, for building on existing agents, and
    /// remote-buildkit-deploy, for deploying agents as well.
    ///
    /// The namespace and the RoleBindings are not printed.
    #[arg(long)]
    pub rbac: bool,
    /// Format of the objects: YAML documents, or one List in JSON. kubectl apply accepts both.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: ManifestFormat,
}

#[derive(Debug, Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    pub cluster_access: ClusterArgs,
    #[command(flatten)]
    pub which: WhichArgs,
    /// Also delete the cache volumes.
    #[arg(long)]
    pub volumes: bool,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub yes: bool,
    /// How long to wait for the cluster, such as 90s or 5m.
    #[arg(long, default_value = "5m", help_heading = "Cluster")]
    pub timeout: String,
}

#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// Builder to remove. Required outside of the post step of the action, which knows the builder of its job.
    #[arg(long)]
    pub builder: Option<String>,
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Session file that connect wrote next to the kubeconfig.
    #[arg(long)]
    pub session: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell to complete for.
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Existing directory for the pages, such as /usr/local/share/man/man1.
    pub dir: std::path::PathBuf,
}
