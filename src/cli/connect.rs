//! The flags of `connect`, which other commands share: the cluster, the identity and the agents.

use clap::Args;

use crate::agent::DEFAULT_NAMESPACE;

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
    /// What to do in a job that can have no OIDC token (a pull request of a fork, or Dependabot): fail, or local (warn,
    /// and build with buildx's own builder, without the agent and its cache).
    #[arg(long, default_value = "fail", help_heading = "Cluster")]
    pub unavailable: String,
    /// buildx of the job: auto (install a pinned release for the job if the installed one is missing or has known bugs),
    /// system (the installed one), or a version such as 0.37.1. Outside of a job, auto means system.
    #[arg(long, default_value = "auto", help_heading = "buildx")]
    pub buildx_version: String,
    /// Where to download buildx: a mirror of its releases that holds v0.37.1/buildx-v0.37.1.linux-amd64, or a file if
    /// `buildx-sha256` is set.
    #[arg(long, help_heading = "buildx")]
    pub buildx_url: Option<String>,
    /// SHA-256 of the buildx to download. Required if it is not the release that remote-buildkit installs by default.
    #[arg(long, help_heading = "buildx")]
    pub buildx_sha256: Option<String>,
}

/// The audience that AWS's documentation names for the OIDC tokens of GitHub.
pub const DEFAULT_AUDIENCE: &str = "sts.amazonaws.com";

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
    #[arg(long, default_value = DEFAULT_AUDIENCE, help_heading = "Cluster")]
    pub audience: String,
    /// Path of a kubeconfig, or in-cluster for the pod's service account. Use it instead of `cluster`, for any
    /// Kubernetes cluster.
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
    /// that architecture. Default: one agent, which connect deploys on nodes of the runner's architecture.
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
    /// CPU request of the agent, such as 4 or 3500m, or 0 for none. No limit is set, so builds can use idle CPUs of the
    /// node. Default: 1.
    #[arg(long, help_heading = "Agent")]
    pub cpu: Option<String>,
    /// Memory request and limit of the agent, such as 8Gi, or 0 for neither. Default: a request of 2Gi, and no limit.
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
    #[arg(short, long, default_value = DEFAULT_NAMESPACE, help_heading = "Agent")]
    pub namespace: String,
}
