//! The command line. Each input of an action is the flag of the same name, and is declared only here. Values stay text
//! until `inputs` has validated all of them.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::secret::Secret;

/// Build container images on BuildKit agents with a persistent cache in your own Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "remote-buildkit", version, args_override_self = true)]
pub struct Cli {
    /// Print a line for each request to AWS, the cluster and GitHub.
    ///
    /// Secrets are left out. In a job, debug logging turns this on as well.
    #[arg(long, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect buildx on this machine to an agent, and deploy the agent if it does not exist.
    #[command(args_override_self = true)]
    Connect(Box<ConnectArgs>),
    /// Remove everything that `connect` wrote on this machine. The agent and its cache stay.
    Disconnect(DisconnectArgs),
    /// Check every step from this machine to a build and report problems. Accepts the same flags as `connect`.
    #[command(args_override_self = true)]
    Doctor(Box<DoctorArgs>),
    /// Print a job matrix with only the images that a change affects.
    #[command(args_override_self = true)]
    Matrix(Box<MatrixArgs>),
    /// Set up this machine so that its jobs build remotely without a workflow step. Run it once at boot.
    ///
    /// Installs buildx, creates a permanent builder and sets up ECR logins.
    #[command(args_override_self = true)]
    Runner(Box<RunnerArgs>),
    /// Print a Kubernetes credential. kubectl, buildx and other clients call this through the kubeconfig.
    Token(TokenArgs),
    /// Print the Kubernetes manifests that `connect` would apply.
    Manifests(Box<ManifestsArgs>),
    /// Delete agents that `connect` deployed. Their cache volumes are kept unless you pass `--volumes`.
    Destroy(DestroyArgs),
}

#[derive(Debug, Args)]
pub struct ConnectArgs {
    #[command(flatten)]
    pub cluster_access: ClusterArgs,
    #[command(flatten)]
    pub agent: AgentArgs,
    /// When to deploy the agent: if-absent, always (also update an existing agent) or never.
    #[arg(long, default_value = "if-absent")]
    pub deploy: String,
    /// Key that selects one of several agents: jobs with the same key use the same cache. Default: the repository.
    #[arg(long)]
    pub cache_key: Option<String>,
    /// ECR registries to log in to for the duration of the job: auto (your own account and region), ACCOUNT, REGION,
    /// ACCOUNT/REGION, public, or a registry host. Default: none.
    #[arg(long)]
    pub ecr: Option<String>,
    /// How long to wait until the agent is ready, such as 90s or 5m. A build waits as long for an agent that restarts.
    #[arg(long, default_value = "5m")]
    pub timeout: String,
}

/// The flags that select the cluster and the identity.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Name of the EKS cluster.
    #[arg(long)]
    pub cluster: Option<String>,
    /// AWS region of the cluster. Default: the region of the environment or the AWS profile.
    #[arg(long)]
    pub region: Option<String>,
    /// ARN of an IAM role to assume with the job's OIDC token. Default: use the default AWS credentials.
    #[arg(long)]
    pub role_to_assume: Option<String>,
    /// Audience of the OIDC token.
    #[arg(long, default_value = "sts.amazonaws.com")]
    pub audience: String,
    /// Path of a kubeconfig, or in-cluster for the pod's service account. Use it instead of cluster, for any Kubernetes
    /// cluster.
    #[arg(long)]
    pub kubeconfig: Option<String>,
    /// Context in that kubeconfig. Default: its current context.
    #[arg(long)]
    pub context: Option<String>,
}

/// The flags that describe the agents.
#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    pub which: WhichArgs,
    /// Platforms to build natively, such as linux/amd64,linux/arm64. Each architecture gets its own agent on nodes of
    /// that architecture.
    #[arg(long)]
    pub platforms: Option<String>,
    /// Number of agents for each architecture. `cache-key` selects the agent for a job.
    #[arg(long, default_value = "1")]
    pub agents: String,
    /// BuildKit image. Default: moby/buildkit:v0.34.2, or its rootless variant with `isolation: rootless`.
    #[arg(long)]
    pub image: Option<String>,
    /// Size of the cache volume.
    #[arg(long, default_value = "50Gi")]
    pub storage: String,
    /// StorageClass of the cache volume. Default: the cluster's default StorageClass.
    #[arg(long)]
    pub storage_class: Option<String>,
    /// CPU request of the agent, such as 4 or 3500m. No limit is set, so builds can use idle CPUs of the node.
    #[arg(long)]
    pub cpu: Option<String>,
    /// Memory request and limit of the agent, such as 8Gi.
    #[arg(long)]
    pub memory: Option<String>,
    /// How builds are isolated from the node: privileged (no isolation), rootless or user-namespace.
    #[arg(long, default_value = "privileged")]
    pub isolation: String,
    /// Entitlements that builds may request: security.insecure, network.host, device. Default: none.
    #[arg(long)]
    pub entitlements: Option<String>,
    /// How long running builds may take to finish when the agent is stopped, such as 30m or 2h.
    #[arg(long, default_value = "1h")]
    pub drain_timeout: String,
    /// Maximum number of build steps that run at once. Default: no limit.
    #[arg(long)]
    pub max_parallelism: Option<String>,
    /// Registry mirrors, as REGISTRY=MIRROR. MIRROR alone mirrors docker.io; http://MIRROR does not use TLS.
    #[arg(long)]
    pub registry_mirrors: Option<String>,
    /// Additional buildkitd.toml settings, in TOML. They override the generated settings.
    #[arg(long)]
    pub buildkitd_config: Option<String>,
    /// Node labels that the agent's pod requires, as KEY=VALUE.
    #[arg(long)]
    pub node_selector: Option<String>,
    /// Node taints to tolerate, as KEY=VALUE:EFFECT like in kubectl taint. KEY:EFFECT matches any value, KEY any value
    /// and effect.
    #[arg(long)]
    pub tolerations: Option<String>,
    /// Existing service account for the agent's pod. Tokens of IRSA and EKS Pod Identity are mounted, the Kubernetes
    /// API token is not.
    #[arg(long)]
    pub service_account: Option<String>,
    /// Labels for the agent's objects and its pod, as KEY=VALUE.
    #[arg(long)]
    pub labels: Option<String>,
    /// Annotations for the agent's Deployment and its pod, as KEY=VALUE, one per line.
    #[arg(long)]
    pub annotations: Option<String>,
    /// Strategic merge patch for the Deployment, in YAML, for settings that have no input.
    #[arg(long)]
    pub patch: Option<String>,
}

/// The flags that name the agents.
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Name of the agent: of its Deployment, ConfigMap and PersistentVolumeClaim.
    #[arg(long, default_value = "remote-buildkit-agent")]
    pub name: String,
    /// Namespace of the agent. It must exist.
    #[arg(long, default_value = "default")]
    pub namespace: String,
}

#[derive(Debug, Args)]
pub struct ManifestsArgs {
    #[command(flatten)]
    pub agent: AgentArgs,
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
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Print JSON for machines.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunnerArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// User whose jobs build remotely. Default: the current user. root must set it.
    #[arg(long)]
    pub user: Option<String>,
    /// Where to download buildx: a mirror of its releases that holds v0.37.1/buildx-v0.37.1.linux-amd64, or a file if
    /// buildx-sha256 is set.
    #[arg(long)]
    pub buildx_url: Option<String>,
    /// SHA-256 of the file at buildx-url. Required if it is not the release that remote-buildkit installs by default.
    #[arg(long)]
    pub buildx_sha256: Option<String>,
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Only install programs and contact no cluster.
    ///
    /// For building a machine image. Machines started from it run the command again at boot.
    #[arg(long, conflicts_with_all = ["remove", "github_url"])]
    pub install_only: bool,
    /// Undo the setup for this user.
    #[arg(long)]
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
    #[arg(long)]
    pub github_url: Option<String>,
    /// File with a GitHub token for the registration, or - for standard input. Default: GITHUB_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub github_token_file: Option<String>,
    /// Client ID or number of a GitHub App to register with, instead of a token.
    #[arg(long, value_name = "ID")]
    pub github_app_id: Option<String>,
    /// File with a private key of the GitHub App, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub github_app_key_file: Option<String>,
    /// Name of the runner. Default: the host name.
    #[arg(long)]
    pub runner_name: Option<String>,
    /// Labels of the runner. Default: self-hosted, linux, and x64 or arm64.
    #[arg(long)]
    pub runner_labels: Option<String>,
    /// Group of the runner. Default: the default group.
    #[arg(long)]
    pub runner_group: Option<String>,
    /// Directory with the runner's run.sh.
    #[arg(long, default_value = "/opt/actions-runner")]
    pub runner_folder: String,
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
    /// GitHub API token with `contents: read`. It is used to list changed files if the clone does not have them.
    #[arg(long, value_parser = secret)]
    pub github_token: Option<Secret>,
    /// Print the files that a target is built from, and exit.
    #[arg(long, value_name = "TARGET")]
    pub explain: Option<String>,
    /// Print the matrix as JSON, and everything else to standard error.
    #[arg(long)]
    pub json: bool,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// Flags that are not inputs, in the commands that have inputs: they are for people or for the boot of a machine.
const NO_INPUTS: [&str; 14] = [
    "help",
    "explain",
    "github-app-id",
    "github-app-key-file",
    "github-token-file",
    "github-url",
    "install-only",
    "as-user",
    "json",
    "remove",
    "runner-folder",
    "runner-group",
    "runner-labels",
    "runner-name",
];

#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// Builder to remove. Default: the builder that connect created in this job.
    #[arg(long)]
    pub builder: Option<String>,
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Session file that connect wrote next to the kubeconfig.
    #[arg(long)]
    pub session: std::path::PathBuf,
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
    let command = line.iter().skip(1).position(|word| !is_flag(word));
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
        assert_eq!((args.per_platform.as_str(), args.json), ("true", false));
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
}
