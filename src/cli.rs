//! What a user can type. Each input of the action is the flag of the same name, declared here and nowhere else;
//! values stay text until `inputs` has checked them all.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};

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
    let Some(at) = command.map(|at| at + 1).filter(|at| line[*at] == "connect") else {
        return Ok(line);
    };
    let (mut flags, mut unreadable) = (Vec::new(), Vec::new());
    for name in connect_inputs() {
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

/// The names of connect's inputs, in the order of their declaration.
fn connect_inputs() -> Vec<String> {
    let cli = Cli::command();
    let connect = cli.find_subcommand("connect");
    connect
        .into_iter()
        .flat_map(clap::Command::get_arguments)
        .filter_map(|arg| arg.get_long())
        .filter(|name| *name != "help")
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

    /// action.yml and the command line say the same of every input: name, description, default.
    #[test]
    fn action_yml_declares_the_same_inputs() {
        let action: Action = serde_saphyr::from_str(include_str!("../action.yml")).expect("YAML");
        let cli = Cli::command();
        let connect = cli.find_subcommand("connect").expect("connect");
        let flags = connect.get_arguments().filter_map(|arg| {
            let input = Input {
                description: arg.get_help()?.to_string(),
                default: arg
                    .get_default_values()
                    .first()
                    .map(|d| d.to_string_lossy().into_owned()),
            };
            Some((arg.get_long()?.to_owned(), input))
        });
        assert_eq!(action.inputs, flags.collect());
    }
}
