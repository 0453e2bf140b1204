//! The command line. Each input of an action is the flag of the same name, and is declared only here. Values stay text
//! until `inputs` has validated all of them.

use std::borrow::Cow;
use std::ffi::OsString;

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches as _, Parser, Subcommand};

use crate::secret::Secret;

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
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub verbose: bool,
    /// Print no progress, only results, warnings and errors.
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    /// When to print in color. NO_COLOR turns color off as well.
    #[arg(long, global = true, value_name = "WHEN", default_value_t, help_heading = GLOBAL)]
    pub color: clap::ColorChoice,
    #[command(subcommand)]
    pub command: Command,
}

const GLOBAL: &str = "Global options";

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
    /// Print a job matrix with only the images that a change affects.
    #[command(args_override_self = true, after_help = examples!("List the images that differ from the main branch:
  remote-buildkit matrix --base origin/main", "List the files that the target `api` is built from:
  remote-buildkit matrix --explain api"))]
    Matrix(Box<MatrixArgs>),
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
    /// The flags that do not describe the agent, such as those of the cluster, change nothing here.
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
pub struct ConnectArgs {
    #[command(flatten)]
    pub cluster_access: ClusterArgs,
    #[command(flatten)]
    pub agent: AgentArgs,
    /// When to deploy the agent: if-absent, always (also update an existing agent) or never.
    #[arg(long, default_value = "if-absent", help_heading = "Agent")]
    pub deploy: String,
    /// Key that selects one of several agents: jobs with the same key use the same cache. Default: the repository.
    #[arg(long, help_heading = "Agent")]
    pub cache_key: Option<String>,
    /// ECR registries to log in to for the duration of the job: auto (your own account and region), ACCOUNT, REGION,
    /// ACCOUNT/REGION, public, or a registry host. Default: none.
    #[arg(long, help_heading = "Registries")]
    pub ecr: Option<String>,
    /// How long to wait until the agent is ready, such as 90s or 5m. A build waits as long for an agent that restarts.
    #[arg(long, default_value = "5m", help_heading = "Agent")]
    pub timeout: String,
}

/// The flags that select the cluster and the identity.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Name of the EKS cluster.
    #[arg(long, help_heading = "Cluster")]
    pub cluster: Option<String>,
    /// AWS region of the cluster. Default: the region of the environment or the AWS profile.
    #[arg(long, help_heading = "Cluster")]
    pub region: Option<String>,
    /// ARN of an IAM role to assume with the job's OIDC token. Default: use the default AWS credentials.
    #[arg(long, help_heading = "Cluster")]
    pub role_to_assume: Option<String>,
    /// Audience of the OIDC token.
    #[arg(long, default_value = "sts.amazonaws.com", help_heading = "Cluster")]
    pub audience: String,
    /// Path of a kubeconfig, or in-cluster for the pod's service account. Use it instead of cluster, for any Kubernetes
    /// cluster.
    #[arg(long, help_heading = "Cluster")]
    pub kubeconfig: Option<String>,
    /// Context in that kubeconfig. Default: its current context.
    #[arg(long, help_heading = "Cluster")]
    pub context: Option<String>,
}

/// The flags that describe the agents.
#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    pub which: WhichArgs,
    /// Platforms to build natively, such as linux/amd64,linux/arm64. Each architecture gets its own agent on nodes of
    /// that architecture.
    #[arg(long, help_heading = "Agent")]
    pub platforms: Option<String>,
    /// Number of agents for each architecture. `cache-key` selects the agent for a job.
    #[arg(long, default_value = "1", help_heading = "Agent")]
    pub agents: String,
    /// BuildKit image. Default: moby/buildkit:v0.34.2, or its rootless variant with `isolation: rootless`.
    #[arg(long, help_heading = "Agent")]
    pub image: Option<String>,
    /// Size of the cache volume.
    #[arg(long, default_value = "50Gi", help_heading = "Cache volume")]
    pub storage: String,
    /// StorageClass of the cache volume. Default: the cluster's default StorageClass.
    #[arg(long, help_heading = "Cache volume")]
    pub storage_class: Option<String>,
    /// CPU request of the agent, such as 4 or 3500m. No limit is set, so builds can use idle CPUs of the node.
    #[arg(long, help_heading = "Agent")]
    pub cpu: Option<String>,
    /// Memory request and limit of the agent, such as 8Gi.
    #[arg(long, help_heading = "Agent")]
    pub memory: Option<String>,
    /// How builds are isolated from the node: privileged (no isolation), rootless or user-namespace.
    #[arg(long, default_value = "privileged", help_heading = "Agent")]
    pub isolation: String,
    /// Entitlements that builds may request: security.insecure, network.host, device. Default: none.
    #[arg(long, help_heading = "BuildKit")]
    pub entitlements: Option<String>,
    /// How long running builds may take to finish when the agent is stopped, such as 30m or 2h.
    #[arg(long, default_value = "1h", help_heading = "Agent")]
    pub drain_timeout: String,
    /// Maximum number of build steps that run at once. Default: no limit.
    #[arg(long, help_heading = "BuildKit")]
    pub max_parallelism: Option<String>,
    /// Registry mirrors, as REGISTRY=MIRROR. MIRROR alone mirrors docker.io; http://MIRROR does not use TLS.
    #[arg(long, help_heading = "BuildKit")]
    pub registry_mirrors: Option<String>,
    /// Additional buildkitd.toml settings, in TOML. They override the generated settings.
    #[arg(long, help_heading = "BuildKit")]
    pub buildkitd_config: Option<String>,
    /// Node labels that the agent's pod requires, as KEY=VALUE.
    #[arg(long, help_heading = "Scheduling and objects")]
    pub node_selector: Option<String>,
    /// Node taints to tolerate, as KEY=VALUE:EFFECT like in kubectl taint. KEY:EFFECT matches any value, KEY any value
    /// and effect.
    #[arg(long, help_heading = "Scheduling and objects")]
    pub tolerations: Option<String>,
    /// Existing service account for the agent's pod. Tokens of IRSA and EKS Pod Identity are mounted, the Kubernetes
    /// API token is not.
    #[arg(long, help_heading = "Scheduling and objects")]
    pub service_account: Option<String>,
    /// Labels for the agent's objects and its pod, as KEY=VALUE.
    #[arg(long, help_heading = "Scheduling and objects")]
    pub labels: Option<String>,
    /// Annotations for the agent's Deployment and its pod, as KEY=VALUE, one per line.
    #[arg(long, help_heading = "Scheduling and objects")]
    pub annotations: Option<String>,
    /// Strategic merge patch for the Deployment, in YAML, for settings that have no input.
    #[arg(long, help_heading = "Scheduling and objects")]
    pub patch: Option<String>,
}

/// The flags that name the agents.
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Name of the agent: of its Deployment, ConfigMap and PersistentVolumeClaim.
    #[arg(long, default_value = "remote-buildkit-agent", help_heading = "Agent")]
    pub name: String,
    /// Namespace of the agent. It must exist.
    #[arg(short, long, default_value = "default", help_heading = "Agent")]
    pub namespace: String,
}

#[derive(Debug, Args)]
pub struct ManifestsArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Also print two Roles: `use` for building on existing agents, and `deploy` for deploying them.
    #[arg(long)]
    pub rbac: bool,
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
    /// How long to wait until the cluster answers, such as 90s or 5m.
    #[arg(long, default_value = "5m", help_heading = "Cluster")]
    pub timeout: String,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct RunnerArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// User whose jobs build remotely. Default: the current user. root must set it.
    #[arg(long, help_heading = "Machine")]
    pub user: Option<String>,
    /// Where to download buildx: a mirror of its releases that holds v0.37.1/buildx-v0.37.1.linux-amd64, or a file if
    /// buildx-sha256 is set.
    #[arg(long, help_heading = "Machine")]
    pub buildx_url: Option<String>,
    /// SHA-256 of the file at buildx-url. Required if it is not the release that remote-buildkit installs by default.
    #[arg(long, help_heading = "Machine")]
    pub buildx_sha256: Option<String>,
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Only install programs and contact no cluster.
    ///
    /// For building a machine image. Machines started from it run the command again at boot.
    #[arg(long, conflicts_with_all = ["remove", "github_url"], help_heading = "Machine")]
    pub install_only: bool,
    /// Undo the setup for this user.
    #[arg(long, help_heading = "Machine")]
    pub remove: bool,
    /// Run the user phase. The first phase, which installs the programs, starts it as the user.
    #[arg(long, hide = true)]
    pub as_user: bool,
}

/// The flags that register the machine as a GitHub Actions runner. They are used at boot, so none is an input of the
/// action.
#[derive(Debug, Args)]
pub struct RegistrationArgs {
    /// URL of the repository, organization or enterprise to register with as a just-in-time runner.
    ///
    /// The runner starts when the rest of the setup is done.
    #[arg(long, help_heading = "Runner registration")]
    pub github_url: Option<String>,
    /// File with a GitHub token for the registration, or - for standard input. Default: GITHUB_TOKEN.
    #[arg(long, value_name = "FILE", help_heading = "Runner registration")]
    pub github_token_file: Option<String>,
    /// Client ID or number of a GitHub App to register with, instead of a token.
    #[arg(long, value_name = "ID", help_heading = "Runner registration")]
    pub github_app_id: Option<String>,
    /// File with a private key of the GitHub App, or - for standard input.
    #[arg(long, value_name = "FILE", help_heading = "Runner registration")]
    pub github_app_key_file: Option<String>,
    /// Name of the runner. Default: the host name.
    #[arg(long, help_heading = "Runner registration")]
    pub runner_name: Option<String>,
    /// Labels of the runner. Default: self-hosted, linux, and x64 or arm64.
    #[arg(long, help_heading = "Runner registration")]
    pub runner_labels: Option<String>,
    /// Group of the runner. Default: the default group.
    #[arg(long, help_heading = "Runner registration")]
    pub runner_group: Option<String>,
    /// Directory with the runner's run.sh.
    #[arg(
        long,
        default_value = "/opt/actions-runner",
        help_heading = "Runner registration"
    )]
    pub runner_dir: String,
}

#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Bake and compose files, as in docker/bake-action. Default: the files that buildx finds.
    #[arg(long)]
    pub files: Option<String>,
    /// Bake targets and groups to plan. Default: the group `default`. Without a bake file: names that result from
    /// `pattern`.
    #[arg(long)]
    pub targets: Option<String>,
    /// Overrides of bake targets, as TARGET.KEY=VALUE, one per line.
    #[arg(long)]
    pub set: Option<String>,
    /// Dockerfiles to plan, in .dockerignore syntax. Default, without a bake file: every file named like a Dockerfile.
    #[arg(long)]
    pub pattern: Option<String>,
    /// Directory in which buildx runs. Paths are relative to it.
    #[arg(long, default_value = ".")]
    pub workdir: String,
    /// Commit, branch or tag to compare with. Default: the base in the event of the job.
    #[arg(long)]
    pub base: Option<String>,
    /// Create one matrix entry per platform for multi-platform targets: true or false.
    #[arg(long, default_value = "false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub per_platform: String,
    /// GitHub API token with `contents: read`. It is used to list the changed files if the clone does not have the commits to compare.
    #[arg(long, value_parser = secret)]
    pub github_token: Option<Secret>,
    /// Print the files that a target is built from, and exit.
    #[arg(long, value_name = "TARGET")]
    pub explain: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The flags that select the format of a command's result.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Format of the result. With json and yaml, standard output holds nothing else.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// The same as `--output json`.
    #[arg(long, hide = true)]
    pub json: bool,
}

impl OutputArgs {
    /// Returns the selected format.
    pub fn format(&self) -> OutputFormat {
        let Self { output, json } = self;
        if *json { OutputFormat::Json } else { *output }
    }
}

/// The format of a command's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Table,
    Json,
    Yaml,
}

impl OutputFormat {
    /// Returns the value as JSON or YAML text. `None` for a table, which each command prints itself.
    pub fn serialize(self, value: &serde_json::Value) -> anyhow::Result<Option<String>> {
        Ok(match self {
            Self::Table => None,
            Self::Json => Some(format!("{value:#}")),
            Self::Yaml => Some(
                serde_saphyr::to_string(value)
                    .context("could not write YAML")?
                    .trim_end()
                    .to_owned(),
            ),
        })
    }
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

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// Flags that are not inputs, in the commands that have inputs: they are for people or for the boot of a machine.
const NO_INPUTS: [&str; 15] = [
    "help",
    "explain",
    "github-app-id",
    "github-app-key-file",
    "github-token-file",
    "github-url",
    "install-only",
    "as-user",
    "json",
    "output",
    "remove",
    "runner-dir",
    "runner-group",
    "runner-labels",
    "runner-name",
];

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

/// Prefix of the environment variable of each flag: `--storage-class` is `REMOTE_BUILDKIT_STORAGE_CLASS`.
const ENV_PREFIX: &str = "REMOTE_BUILDKIT_";

/// Commands whose flags are not read from the environment. Clients call `token` by the kubeconfig, and
/// `REMOTE_BUILDKIT_SESSION` is another variable.
const WITHOUT_ENV: [&str; 3] = ["token", "completions", "man"];

/// Returns the definition of the command line. A flag overrides an input of the action, and an input overrides the
/// flag's environment variable.
pub fn command() -> clap::Command {
    Cli::command()
        .long_version(long_version())
        .mut_subcommand("runner", |runner| {
            JOB_ONLY.iter().fold(runner, |runner, name| {
                runner.mut_arg(name.replace('-', "_"), |arg| arg.hide(true))
            })
        })
        .mut_args(with_env)
        .mut_subcommands(|subcommand| {
            if WITHOUT_ENV.contains(&subcommand.get_name()) {
                subcommand
            } else {
                subcommand.mut_args(with_env)
            }
        })
}

/// Adds the environment variable of a flag. An empty variable counts as absent, like an empty input.
fn with_env(arg: clap::Arg) -> clap::Arg {
    let Some(name) = arg.get_long().filter(|_| !arg.is_hide_set()) else {
        return arg;
    };
    let variable = format!("{ENV_PREFIX}{}", name.replace('-', "_").to_uppercase());
    if crate::env::is_empty(&variable) {
        return arg;
    }
    let arg = arg.env(OsString::from(variable)).hide_env_values(true);
    match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
        _ => arg,
    }
}

/// Parses the command line. Prints the help, the version or a usage error and exits where clap does; a usage error has
/// the exit code 2.
pub fn parse(line: Vec<OsString>) -> Cli {
    let mut command = command().color(color_of(&line));
    let parsed = command
        .try_get_matches_from_mut(line)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Returns the value of `--color`. It is read before the rest, because errors of the rest are printed in color.
fn color_of(line: &[OsString]) -> clap::ColorChoice {
    let mut words = line.iter().filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let value = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        if let Some(choice) = value.and_then(|value| value.parse().ok()) {
            return choice;
        }
    }
    clap::ColorChoice::Auto
}

/// Returns what `--version` prints. A commit would change the binary with each commit of another file, and the binaries
/// in dist/ are built before they are committed, so the version names the hash of the sources in dist/BUILT-FROM.
fn long_version() -> String {
    let libc = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    format!(
        "{}\nsources: {}\ntarget: {}-unknown-linux-{libc}\ndefault BuildKit image: {}\nbuildx: 0.15 or newer",
        env!("CARGO_PKG_VERSION"),
        option_env!("REMOTE_BUILDKIT_SOURCES").unwrap_or("not recorded (built without `cargo xtask dist`)"),
        std::env::consts::ARCH,
        crate::agent::DEFAULT_IMAGE,
    )
}

/// Returns the text with the inputs that it names in backticks written as flags, for a command line: `` `deploy: always` ``
/// becomes `` `--deploy=always` ``.
pub fn inputs_as_flags(text: &str) -> String {
    let command = command();
    let flags = command.get_subcommands().flat_map(|c| c.get_arguments());
    let names: Vec<&str> = flags.filter_map(|flag| flag.get_long()).collect();
    let as_flag = |code: &str| {
        let (name, value) = code.split_once(':').unwrap_or((code, ""));
        let known = names.contains(&name);
        known.then(|| match value.trim() {
            "" => format!("--{name}"),
            value => format!("--{name}={value}"),
        })
    };
    let parts: Vec<String> = text
        .split('`')
        .enumerate()
        .map(|(number, part)| {
            let code = number % 2 == 1;
            let flag = code.then(|| as_flag(part)).flatten();
            flag.unwrap_or_else(|| part.to_owned())
        })
        .collect();
    parts
        .join("`")
        .replace("inputs `--", "flags `--")
        .replace("input `--", "flag `--")
}

/// Returns the text as its reader calls the settings: inputs in a job, flags on a command line.
pub fn for_reader(text: &str) -> Cow<'_, str> {
    if crate::github::in_job() {
        text.into()
    } else {
        inputs_as_flags(text).into()
    }
}

/// Returns the reference of all commands, in Markdown, for docs/cli.md.
pub fn reference() -> String {
    let mut command = command().term_width(100);
    command.build();
    let mut text = String::new();
    for subcommand in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
        let help = subcommand.render_long_help().to_string();
        let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        text += &format!(
            "## {}\n\n```text\n{}\n```\n\n",
            subcommand.get_name(),
            help.join("\n")
        );
    }
    text
}

/// Returns the command line with the inputs of the action inserted as flags.
///
/// The runner sets an input as `INPUT_STORAGE-CLASS`, and an absent one as an empty string. A YAML block (`|`) ends with
/// a line break, which is removed. A typed flag comes later on the line and therefore overrides the input.
///
/// Fails with the names of the inputs that are not valid UTF-8.
pub fn arguments(
    typed: impl IntoIterator<Item = OsString>,
    input: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>, Vec<String>> {
    let mut line: Vec<OsString> = typed.into_iter().collect();
    let is_flag = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
    // The one flag before the command that may have its value in the next word.
    let is_value = |before: &OsString| before == "--color";
    let command = line
        .windows(2)
        .position(|words| !is_flag(&words[1]) && !is_value(&words[0]));
    let at = command.map_or(0, |at| at + 1);
    let command = line.get(at).and_then(|command| command.to_str());
    let Some(command) = command.filter(|command| ACTIONS.contains(command)) else {
        return Ok(line);
    };
    let (mut flags, mut unreadable) = (Vec::new(), Vec::new());
    for name in inputs(command) {
        match input(&input_variable(&name)).map(OsString::into_string) {
            Some(Ok(value)) if trimmed(&value).is_empty() => {}
            Some(Ok(value)) => flags.push(OsString::from(format!("--{name}={}", trimmed(&value)))),
            Some(Err(_)) => unreadable.push(name),
            None => {}
        }
    }
    if !unreadable.is_empty() {
        return Err(unreadable);
    }
    line.splice(at + 1..at + 1, flags);
    Ok(line)
}

/// Returns the value of an input without surrounding whitespace. The first line of several keeps its indentation, which
/// is significant in YAML, and its line number.
fn trimmed(value: &str) -> &str {
    let value = value.trim_end();
    if value.contains('\n') {
        value
    } else {
        value.trim_start()
    }
}

/// The commands that an action runs as its main step.
const ACTIONS: [&str; 3] = ["connect", "matrix", "runner"];

/// Flags of `connect` that need a job's OIDC token. `runner` has none, so it does not accept them.
const JOB_ONLY: [&str; 2] = ["audience", "role-to-assume"];

/// Returns whether a flag of a command is an input of its action.
fn is_input(command: &str, flag: &str) -> bool {
    let needs_job = command == "runner" && JOB_ONLY.contains(&flag);
    !needs_job && !NO_INPUTS.contains(&flag)
}

/// Returns the names of a command's inputs, in the order of their declaration.
fn inputs(command: &str) -> Vec<String> {
    let cli = Cli::command();
    cli.find_subcommand(command)
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|arg| arg.get_long())
        .filter(|name| is_input(command, name))
        .map(str::to_owned)
        .collect()
}

fn input_variable(name: &str) -> String {
    format!("INPUT_{}", name.replace(' ', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(typed: &[&str], inputs: &[(&str, &str)]) -> ConnectArgs {
        let line = arguments(typed.iter().map(Into::into), |name| {
            let value = inputs.iter().find(|(n, _)| *n == name)?.1;
            Some(value.into()).filter(|v: &OsString| !v.is_empty())
        });
        match Cli::parse_from(line.expect("valid UTF-8")).command {
            Command::Connect(args) => *args,
            other => panic!("not connect: {other:?}"),
        }
    }

    #[test]
    fn action_inputs_become_flags() {
        let args = parse(
            &["remote-buildkit", "connect"],
            &[
                ("INPUT_STORAGE-CLASS", "gp3"),
                ("INPUT_CLUSTER", "shop"),
                ("INPUT_STORAGE", ""),
            ],
        );
        assert_eq!(args.agent.storage_class.as_deref(), Some("gp3"));
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("shop"));
        assert_eq!(args.agent.storage, "50Gi");
    }

    #[test]
    fn inputs_that_are_not_utf8_are_named() {
        use std::os::unix::ffi::OsStringExt;
        let typed = || ["remote-buildkit", "connect"].map(OsString::from);
        let latin1 = |name: &str| {
            let broken = ["INPUT_CLUSTER", "INPUT_LABELS"].contains(&name);
            broken.then(|| OsString::from_vec(b"sh\xf6p".to_vec()))
        };
        assert_eq!(
            arguments(typed(), latin1),
            Err(vec!["cluster".into(), "labels".into()])
        );
        let other = [OsString::from("remote-buildkit"), "token".into()];
        assert_eq!(arguments(other.clone(), latin1), Ok(other.to_vec()));
    }

    #[test]
    fn whitespace_around_an_input_is_removed() {
        let patch = "  spec: a\n\n  metadata: b";
        let args = parse(
            &["remote-buildkit", "connect"],
            &[
                ("INPUT_CLUSTER", " shop\n"),
                ("INPUT_STORAGE", "\r\n"),
                ("INPUT_PATCH", &format!("{patch}\n\n")),
            ],
        );
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("shop"));
        assert_eq!(args.agent.storage, "50Gi");
        assert_eq!(args.agent.patch.as_deref(), Some(patch));
    }

    #[test]
    fn typed_flag_overrides_input() {
        let args = parse(
            &["remote-buildkit", "connect", "--cluster", "typed"],
            &[("INPUT_CLUSTER", "input")],
        );
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("typed"));
    }

    #[test]
    fn flag_before_the_command_is_accepted() {
        let args = parse(
            &["remote-buildkit", "--verbose", "connect"],
            &[("INPUT_CLUSTER", "input")],
        );
        assert_eq!(args.cluster_access.cluster.as_deref(), Some("input"));
    }

    #[test]
    fn value_that_looks_like_a_flag_stays_a_value() {
        let args = parse(
            &["remote-buildkit", "connect"],
            &[("INPUT_CONTEXT", "--deploy=never")],
        );
        assert_eq!(args.cluster_access.context.as_deref(), Some("--deploy=never"));
        assert_eq!(args.deploy, "if-absent");
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        description: String,
        default: Option<String>,
    }

    #[derive(serde::Deserialize)]
    struct Action {
        inputs: std::collections::BTreeMap<String, Input>,
    }

    #[test]
    fn help_names_the_default_image() {
        let cli = Cli::command();
        let connect = cli.find_subcommand("connect").expect("connect");
        let image = connect
            .get_arguments()
            .find(|arg| arg.get_long() == Some("image"));
        let help = image.and_then(|arg| arg.get_help()).expect("help").to_string();
        assert!(help.contains(crate::agent::DEFAULT_IMAGE), "{help}");
    }

    /// The action.yml files and the command line declare the same inputs: name, description and default.
    #[test]
    fn actions_declare_the_same_inputs() {
        for (command, action) in [
            ("connect", include_str!("../action.yml")),
            ("matrix", include_str!("../matrix/action.yml")),
            ("runner", include_str!("../runner/action.yml")),
        ] {
            let action: Action = serde_saphyr::from_str(action).expect("YAML");
            let cli = Cli::command();
            let known = cli.find_subcommand(command).expect("a command").get_arguments();
            let flags = known.filter_map(|arg| {
                let name = arg.get_long().filter(|name| is_input(command, name))?;
                let default = arg.get_default_values().first();
                let default = default.map(|default| default.to_string_lossy().into_owned());
                let input = Input {
                    description: arg.get_help()?.to_string(),
                    // Only a job has a token by default.
                    default: default
                        .or_else(|| (name == "github-token").then(|| "${{ github.token }}".into())),
                };
                Some((name.to_owned(), input))
            });
            assert_eq!(action.inputs, flags.collect(), "{command}");
        }
    }

    #[test]
    fn matrix_inputs_become_flags_and_the_token_is_not_printed() {
        let line = |typed: &[&str]| {
            arguments(typed.iter().map(Into::into), |name| match name {
                "INPUT_GITHUB-TOKEN" => Some("hush".into()),
                "INPUT_TARGETS" => Some("api\nweb\n".into()),
                "INPUT_PER-PLATFORM" => Some("true".into()),
                "INPUT_EXPLAIN" | "INPUT_JSON" => Some("true".into()),
                _ => None,
            })
            .expect("valid UTF-8")
        };
        let Command::Matrix(args) = Cli::parse_from(line(&["remote-buildkit", "matrix"])).command else {
            panic!("not matrix");
        };
        assert_eq!(args.targets.as_deref(), Some("api\nweb"));
        assert_eq!(
            (args.per_platform.as_str(), args.output.format()),
            ("true", OutputFormat::Table)
        );
        assert_eq!(args.explain, None);
        assert_eq!(args.github_token.as_ref().map(Secret::expose), Some("hush"));
        assert!(!format!("{args:?}").contains("hush"));
        let typed = ["remote-buildkit", "matrix", "--per-platform", "--targets=x"];
        let Command::Matrix(args) = Cli::parse_from(typed).command else {
            panic!("not matrix");
        };
        assert_eq!(
            (args.per_platform.as_str(), args.targets.as_deref()),
            ("true", Some("x"))
        );
    }

    fn try_parse(line: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["remote-buildkit"], line].concat())
    }

    #[test]
    fn help_of_each_command() {
        let mut command = command().term_width(100);
        command.build();
        let mut text = command.render_help().to_string();
        for subcommand in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
            let help = subcommand.render_help();
            text += &format!("\n=== {}\n{help}", subcommand.get_name());
        }
        let text: Vec<&str> = text.lines().map(str::trim_end).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn usage_errors() {
        let lines: [&[&str]; 5] = [
            &["connct"],
            &["connect", "--clutser=shop"],
            &["doctor", "-o", "xml"],
            &["runner", "--remove", "--install-only"],
            &["man"],
        ];
        let errors = lines.map(|line| {
            let error = try_parse(line).expect_err("a usage error");
            assert_eq!(error.exit_code(), 2);
            format!("$ remote-buildkit {}\n{}", line.join(" "), error.render())
        });
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn each_flag_has_an_environment_variable() {
        let command = command();
        let connect = command.find_subcommand("connect").expect("connect");
        let variable = |name: &str| {
            let arg = connect.get_arguments().find(|arg| arg.get_long() == Some(name));
            arg.and_then(|arg| arg.get_env())
                .map(|env| env.to_string_lossy().into_owned())
        };
        assert_eq!(
            variable("storage-class").as_deref(),
            Some("REMOTE_BUILDKIT_STORAGE_CLASS")
        );
        for arg in connect.get_arguments() {
            assert!(arg.get_env().is_some(), "{:?}", arg.get_long());
        }
        let token = command.find_subcommand("token").expect("token");
        assert!(token.get_arguments().all(|arg| arg.get_env().is_none()));
        let runner = command.find_subcommand("runner").expect("runner");
        let role = runner
            .get_arguments()
            .find(|arg| arg.get_long() == Some("role-to-assume"));
        assert!(role.is_some_and(clap::Arg::is_hide_set));
    }

    #[test]
    fn color_is_read_before_the_rest() {
        let color = |line: &[&str]| color_of(&line.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(
            color(&["x", "--color", "never", "oops"]),
            clap::ColorChoice::Never
        );
        assert_eq!(color(&["x", "oops", "--color=always"]), clap::ColorChoice::Always);
        assert_eq!(color(&["x", "--color=pink"]), clap::ColorChoice::Auto);
    }

    #[test]
    fn inputs_become_flags_on_a_command_line() {
        for (text, flags) in [
            ("Set `deploy: always`.", "Set `--deploy=always`."),
            ("`storage: 50 Gi`: must be", "`--storage=50 Gi`: must be"),
            (
                "see the inputs `cluster` and `region`",
                "see the flags `--cluster` and `--region`",
            ),
            ("`cluster: `: set it", "`--cluster`: set it"),
            (
                "run `docker buildx ls`, `spec: …`",
                "run `docker buildx ls`, `spec: …`",
            ),
        ] {
            assert_eq!(inputs_as_flags(text), flags);
        }
    }

    #[test]
    fn results_are_json_or_yaml() {
        let value = serde_json::json!([{"check": "buildx", "state": "ok"}]);
        let text = |format: OutputFormat| format.serialize(&value).expect("text");
        assert_eq!(text(OutputFormat::Table), None);
        assert!(text(OutputFormat::Json).is_some_and(|json| json.contains("\"check\": \"buildx\"")));
        assert_eq!(
            text(OutputFormat::Yaml).as_deref(),
            Some("- check: buildx\n  state: ok")
        );
    }
}
