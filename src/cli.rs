//! What a user can type. Each input of the action is the flag of the same name, declared here and nowhere else;
//! values stay text until `inputs` has checked them all.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::secret::Secret;

/// Puts builds onto a BuildKit agent with a persistent cache in your own Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "remote-buildkit", version, args_override_self = true)]
pub struct Cli {
    /// Print a line for each request to AWS, the cluster and GitHub, without secrets; in a job, debug logging does too.
    #[arg(long, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect buildx on this machine to the agent; deploy the agent if it is absent.
    #[command(args_override_self = true)]
    Connect(Box<ConnectArgs>),
    /// Remove from this machine what `connect` wrote; the agent and its cache stay.
    Disconnect(DisconnectArgs),
    /// Look at the whole road from here to a build, and say what is in its way; takes the flags of `connect`.
    #[command(args_override_self = true)]
    Doctor(Box<DoctorArgs>),
    /// Say which images of a repository a change touches, as the matrix of a workflow.
    #[command(args_override_self = true)]
    Matrix(Box<MatrixArgs>),
    /// Make this machine one whose jobs build remotely without a step: buildx, a permanent builder, logins; once, at boot.
    #[command(args_override_self = true)]
    Runner(Box<RunnerArgs>),
    /// Print a Kubernetes credential; called by kubectl, buildx and others through the kubeconfig.
    Token(TokenArgs),
    /// Print the manifests that `connect` would apply.
    Manifests(Box<ManifestsArgs>),
    /// Remove agents that `connect` deployed; their volumes stay, unless told otherwise.
    Destroy(DestroyArgs),
}

#[derive(Debug, Args)]
pub struct ConnectArgs {
    #[command(flatten)]
    pub road: RoadArgs,
    #[command(flatten)]
    pub agent: AgentArgs,
    /// When to deploy the agent: if-absent, always (one that runs is brought up to date) or never.
    #[arg(long, default_value = "if-absent")]
    pub deploy: String,
    /// Which of several agents has this job's cache: jobs of one key get the same; by default the repository.
    #[arg(long)]
    pub cache_key: Option<String>,
    /// Registries of ECR to be logged in to, as long as the job lasts: auto (the caller's own), ACCOUNT, REGION,
    /// ACCOUNT/REGION, public, or their hosts; none by default.
    #[arg(long)]
    pub ecr: Option<String>,
    /// How long to wait for the agent to be ready, such as 90s or 5m; a build waits as long for one being replaced.
    #[arg(long, default_value = "5m")]
    pub timeout: String,
}

/// The road to the cluster.
#[derive(Debug, Args)]
pub struct RoadArgs {
    /// Name of the EKS cluster.
    #[arg(long)]
    pub cluster: Option<String>,
    /// AWS region of the cluster; by default that of the environment or profile.
    #[arg(long)]
    pub region: Option<String>,
    /// ARN of an IAM role to assume with the job's OIDC token; without it the default AWS credentials are used.
    #[arg(long)]
    pub role_to_assume: Option<String>,
    /// Audience of the OIDC token.
    #[arg(long, default_value = "sts.amazonaws.com")]
    pub audience: String,
    /// Path of a kubeconfig, or in-cluster for the pod's service account; instead of cluster, for any Kubernetes.
    #[arg(long)]
    pub kubeconfig: Option<String>,
    /// Context of that kubeconfig; by default its current one.
    #[arg(long)]
    pub context: Option<String>,
}

/// The agents.
#[derive(Debug, Args)]
pub struct AgentArgs {
    #[command(flatten)]
    pub which: WhichArgs,
    /// Platforms to build for natively, such as linux/amd64,linux/arm64: an agent for each architecture, on its nodes.
    #[arg(long)]
    pub platforms: Option<String>,
    /// How many agents there are, for each architecture; `cache-key` decides which one serves a job.
    #[arg(long, default_value = "1")]
    pub agents: String,
    /// Image of BuildKit; by default moby/buildkit:v0.34.2, or its rootless variant with `isolation: rootless`.
    #[arg(long)]
    pub image: Option<String>,
    /// Size of the cache volume.
    #[arg(long, default_value = "50Gi")]
    pub storage: String,
    /// StorageClass of the cache volume; by default the cluster's default one.
    #[arg(long)]
    pub storage_class: Option<String>,
    /// CPU request of the agent, such as 4 or 3500m; there is no limit, builds use what the node has left.
    #[arg(long)]
    pub cpu: Option<String>,
    /// Memory request and limit of the agent, such as 8Gi.
    #[arg(long)]
    pub memory: Option<String>,
    /// What keeps builds from the node: privileged (nothing), rootless, or user-namespace.
    #[arg(long, default_value = "privileged")]
    pub isolation: String,
    /// Entitlements that builds may ask for: security.insecure, network.host, device; none by default.
    #[arg(long)]
    pub entitlements: Option<String>,
    /// How long running builds may take to end when the agent is stopped, such as 30m or 2h.
    #[arg(long, default_value = "1h")]
    pub drain_timeout: String,
    /// How many build steps run at once; by default as many as there are.
    #[arg(long)]
    pub max_parallelism: Option<String>,
    /// Mirrors of registries, REGISTRY=MIRROR each; MIRROR alone is one of docker.io, http://MIRROR one without TLS.
    #[arg(long)]
    pub registry_mirrors: Option<String>,
    /// More of buildkitd.toml, in TOML; what it says wins over what is generated.
    #[arg(long)]
    pub buildkitd_config: Option<String>,
    /// Labels of the nodes to run on, KEY=VALUE each.
    #[arg(long)]
    pub node_selector: Option<String>,
    /// Taints of nodes to tolerate, KEY=VALUE:EFFECT each, as kubectl taint writes them; KEY:EFFECT and KEY for any.
    #[arg(long)]
    pub tolerations: Option<String>,
    /// Service account of the agent's pod; it has to exist. Its API token is not mounted, a token of IRSA or Pod Identity is.
    #[arg(long)]
    pub service_account: Option<String>,
    /// Labels to put on the agent's objects and its pod, KEY=VALUE each.
    #[arg(long)]
    pub labels: Option<String>,
    /// Annotations to put on the agent's Deployment and its pod, KEY=VALUE each.
    #[arg(long)]
    pub annotations: Option<String>,
    /// Strategic merge patch on the Deployment, in YAML, for what has no input.
    #[arg(long)]
    pub patch: Option<String>,
}

/// Which agents are meant.
#[derive(Debug, Args)]
pub struct WhichArgs {
    /// Name of the agent, that is of its Deployment, ConfigMap and PersistentVolumeClaim.
    #[arg(long, default_value = "remote-buildkit-agent")]
    pub name: String,
    /// Namespace of the agent; it has to exist.
    #[arg(long, default_value = "default")]
    pub namespace: String,
}

#[derive(Debug, Args)]
pub struct ManifestsArgs {
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Print two Roles as well: what a job needs to use the agents, and to deploy them.
    #[arg(long)]
    pub rbac: bool,
}

#[derive(Debug, Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    pub road: RoadArgs,
    #[command(flatten)]
    pub which: WhichArgs,
    /// Delete the cache volumes, too.
    #[arg(long)]
    pub volumes: bool,
    /// Do not ask.
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
    /// User whose jobs build remotely; by default whoever runs this. root has to name one.
    #[arg(long)]
    pub user: Option<String>,
    /// Where buildx is downloaded from: a mirror of its releases, with v0.37.1/buildx-v0.37.1.linux-amd64 in it; or,
    /// with buildx-sha256, a file.
    #[arg(long)]
    pub buildx_url: Option<String>,
    /// SHA-256 of the file at buildx-url, where it is not the release that this program knows.
    #[arg(long)]
    pub buildx_sha256: Option<String>,
    #[command(flatten)]
    pub registration: RegistrationArgs,
    /// Install programs alone, where no cluster is reached: at the build of an image, whose machines call it again at boot.
    #[arg(long, conflicts_with_all = ["remove", "github_url"])]
    pub install_only: bool,
    /// Undo all of it, for that user.
    #[arg(long)]
    pub remove: bool,
    /// The second half, which the first one starts as the user: programs are installed.
    #[arg(long, hide = true)]
    pub installed: bool,
}

/// The machine as a runner of GitHub. For the boot, not for a job: none of these is an input of the action.
#[derive(Debug, Args)]
pub struct RegistrationArgs {
    /// Repository, organization or enterprise to become a just-in-time runner of, by its address: the runner is started
    /// when all else is done.
    #[arg(long)]
    pub github_url: Option<String>,
    /// File with the token that asks for it, - for standard input; by default GITHUB_TOKEN of the environment.
    #[arg(long, value_name = "FILE")]
    pub github_token_file: Option<String>,
    /// Client id, or number, of a GitHub App that asks for it instead.
    #[arg(long, value_name = "ID")]
    pub github_app_id: Option<String>,
    /// File with a private key of that App, - for standard input.
    #[arg(long, value_name = "FILE")]
    pub github_app_key_file: Option<String>,
    /// Name of the runner; by default that of the machine.
    #[arg(long)]
    pub runner_name: Option<String>,
    /// Labels of the runner; by default self-hosted, linux, and x64 or arm64.
    #[arg(long)]
    pub runner_labels: Option<String>,
    /// Group of the runner; by default the one that every place has.
    #[arg(long)]
    pub runner_group: Option<String>,
    /// Folder with the runner's run.sh.
    #[arg(long, default_value = "/opt/actions-runner")]
    pub runner_folder: String,
}

#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Bake and compose files, as docker/bake-action has them; by default those that buildx finds.
    #[arg(long)]
    pub files: Option<String>,
    /// Bake targets and groups to plan for; by default the group default. Without a bake file, names from `pattern`.
    #[arg(long)]
    pub targets: Option<String>,
    /// Overrides of bake targets, TARGET.KEY=VALUE each, a line each.
    #[arg(long)]
    pub set: Option<String>,
    /// Where Dockerfiles are, as in a .dockerignore; by default, without a bake file, whatever is called like one.
    #[arg(long)]
    pub pattern: Option<String>,
    /// Folder in which buildx runs, and that paths are relative to.
    #[arg(long, default_value = ".")]
    pub workdir: String,
    /// Commit, branch or tag to compare with; by default what the event of the job says.
    #[arg(long)]
    pub base: Option<String>,
    /// Whether a target of several platforms is a leg for each of them: true or false.
    #[arg(long, default_value = "false", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub per_platform: String,
    /// Token for GitHub's API, which tells what changed where the clone cannot; it reads contents.
    #[arg(long, value_parser = secret)]
    pub github_token: Option<Secret>,
    /// Print the files that a target is made of, and do nothing else.
    #[arg(long, value_name = "TARGET")]
    pub explain: Option<String>,
    /// Print the matrix in JSON for machines, all else to standard error.
    #[arg(long)]
    pub json: bool,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

/// Flags of commands with inputs that are for people, or for the boot of a machine, alone.
const NO_INPUTS: [&str; 14] = [
    "help",
    "explain",
    "github-app-id",
    "github-app-key-file",
    "github-token-file",
    "github-url",
    "install-only",
    "installed",
    "json",
    "remove",
    "runner-folder",
    "runner-group",
    "runner-labels",
    "runner-name",
];

#[derive(Debug, Args)]
pub struct DisconnectArgs {
    /// Builder to remove; by default the one that this job's connect made.
    #[arg(long)]
    pub builder: Option<String>,
}

#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Session file that connect wrote beside the kubeconfig.
    #[arg(long)]
    pub session: std::path::PathBuf,
}

/// The command line, with the inputs of the action put in as flags.
///
/// The runner hands an input over as `INPUT_STORAGE-CLASS`, an absent one as an empty string. A block of YAML (`|`) ends
/// with a line break that nobody means. A flag that was typed comes later on the line and so wins.
///
/// Fails with the names of the inputs that are no text.
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

/// The value of an input without the space around it. Of several lines the first keeps its indentation, which means
/// something in YAML, and its number.
fn trimmed(value: &str) -> &str {
    let value = value.trim_end();
    if value.contains('\n') {
        value
    } else {
        value.trim_start()
    }
}

/// The commands that are the main step of an action.
const ACTIONS: [&str; 3] = ["connect", "matrix", "runner"];

/// A machine has no OIDC token of a job, and so assumes no role with one.
const OF_JOBS: [&str; 2] = ["audience", "role-to-assume"];

/// Whether a flag of a command is an input of its action.
fn is_input(command: &str, flag: &str) -> bool {
    let of_others = command == "runner" && OF_JOBS.contains(&flag);
    !of_others && !NO_INPUTS.contains(&flag)
}

/// The names of a command's inputs, in the order of their declaration.
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
        match Cli::parse_from(line.expect("text")).command {
            Command::Connect(args) => *args,
            other => panic!("not connect: {other:?}"),
        }
    }

    #[test]
    fn inputs_of_the_action_are_flags() {
        let args = parse(
            &["remote-buildkit", "connect"],
            &[
                ("INPUT_STORAGE-CLASS", "gp3"),
                ("INPUT_CLUSTER", "shop"),
                ("INPUT_STORAGE", ""),
            ],
        );
        assert_eq!(args.agent.storage_class.as_deref(), Some("gp3"));
        assert_eq!(args.road.cluster.as_deref(), Some("shop"));
        assert_eq!(args.agent.storage, "50Gi");
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
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
    fn space_around_an_input_is_none_of_it() {
        let patch = "  spec: a\n\n  metadata: b";
        let args = parse(
            &["remote-buildkit", "connect"],
            &[
                ("INPUT_CLUSTER", " shop\n"),
                ("INPUT_STORAGE", "\r\n"),
                ("INPUT_PATCH", &format!("{patch}\n\n")),
            ],
        );
        assert_eq!(args.road.cluster.as_deref(), Some("shop"));
        assert_eq!(args.agent.storage, "50Gi");
        assert_eq!(args.agent.patch.as_deref(), Some(patch));
    }

    #[test]
    fn a_typed_flag_wins_over_an_input() {
        let args = parse(
            &["remote-buildkit", "connect", "--cluster", "typed"],
            &[("INPUT_CLUSTER", "input")],
        );
        assert_eq!(args.road.cluster.as_deref(), Some("typed"));
    }

    #[test]
    fn a_flag_may_stand_before_the_command() {
        let args = parse(
            &["remote-buildkit", "--verbose", "connect"],
            &[("INPUT_CLUSTER", "input")],
        );
        assert_eq!(args.road.cluster.as_deref(), Some("input"));
    }

    #[test]
    fn a_value_that_looks_like_a_flag_stays_a_value() {
        let args = parse(
            &["remote-buildkit", "connect"],
            &[("INPUT_CONTEXT", "--deploy=never")],
        );
        assert_eq!(args.road.context.as_deref(), Some("--deploy=never"));
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
    fn the_default_image_is_told() {
        let cli = Cli::command();
        let connect = cli.find_subcommand("connect").expect("connect");
        let image = connect
            .get_arguments()
            .find(|arg| arg.get_long() == Some("image"));
        let help = image.and_then(|arg| arg.get_help()).expect("help").to_string();
        assert!(help.contains(crate::agent::DEFAULT_IMAGE), "{help}");
    }

    /// The files of the actions and the command line say the same of every input: name, description, default.
    #[test]
    fn the_actions_declare_the_same_inputs() {
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
                    // In a job there always is one, and nowhere else.
                    default: default
                        .or_else(|| (name == "github-token").then(|| "${{ github.token }}".into())),
                };
                Some((name.to_owned(), input))
            });
            assert_eq!(action.inputs, flags.collect(), "{command}");
        }
    }

    #[test]
    fn inputs_of_the_matrix_are_flags_and_a_token_does_not_print() {
        let line = |typed: &[&str]| {
            arguments(typed.iter().map(Into::into), |name| match name {
                "INPUT_GITHUB-TOKEN" => Some("hush".into()),
                "INPUT_TARGETS" => Some("api\nweb\n".into()),
                "INPUT_PER-PLATFORM" => Some("true".into()),
                "INPUT_EXPLAIN" | "INPUT_JSON" => Some("true".into()),
                _ => None,
            })
            .expect("text")
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
