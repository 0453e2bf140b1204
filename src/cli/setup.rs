//! The flags of `setup`.

use clap::Args;

use super::AgentArgs;

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Name of the EKS cluster.
    #[arg(long, help_heading = "Cluster")]
    pub cluster: Option<String>,
    /// AWS region of the cluster. Default: the region of the environment or the AWS profile.
    #[arg(long, help_heading = "Cluster")]
    pub region: Option<String>,
    /// Path of a kubeconfig, for any Kubernetes cluster. AWS is not contacted.
    #[arg(long, help_heading = "Cluster")]
    pub kubeconfig: Option<String>,
    /// Context in that kubeconfig. Default: its current context.
    #[arg(long, help_heading = "Cluster")]
    pub context: Option<String>,
    /// Change the cluster's authentication mode from CONFIG_MAP to API_AND_CONFIG_MAP if necessary, without a question.
    /// This cannot be undone.
    #[arg(long, help_heading = "Cluster")]
    pub change_authentication_mode: bool,
    /// Repository whose jobs can assume the role, as OWNER/NAME; can be repeated. A repository that no flag names
    /// is removed from the role.
    ///
    /// setup reads the repository's ids from GitHub's API, with the token in GITHUB_TOKEN or GH_TOKEN if it is set. Or pass
    /// the ids, as OWNER@OWNER_ID/NAME@REPOSITORY_ID.
    #[arg(long = "repository", value_name = "REPOSITORY", help_heading = "IAM role")]
    pub repositories: Vec<String>,
    /// Branch whose jobs alone can assume the role. Default: all jobs that get an OIDC token.
    #[arg(long, help_heading = "IAM role")]
    pub branch: Option<String>,
    /// Deployment environment whose jobs alone can assume the role.
    #[arg(long, help_heading = "IAM role")]
    pub environment: Option<String>,
    /// Repository in ECR that the jobs can pull from and push to: its name or its ARN; can be repeated. It must exist.
    #[arg(long, value_name = "NAME_OR_ARN", help_heading = "IAM role")]
    pub ecr: Vec<String>,
    /// Name of the IAM role. Default: remote-buildkit.
    #[arg(long, help_heading = "IAM role")]
    pub role_name: Option<String>,
    #[command(flatten)]
    pub agent: AgentArgs,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub yes: bool,
    /// How long to wait for AWS, the cluster and the agent, such as 90s or 5m.
    #[arg(long, default_value = "5m", help_heading = "Cluster")]
    pub timeout: String,
}
